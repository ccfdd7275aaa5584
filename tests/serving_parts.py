"""A server in a process of its own, asked over loopback; versions of a tiny product that it serves."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx

from tests.bundle_parts import draw, write_real_bundle
from zeromiss.params import load_product
from zeromiss.registry import publish
from zeromiss.registry.events import move_alias
from zeromiss.registry.store import prepare
from zeromiss.workspace import Workspace

THRESHOLDS = (0.4, 0.6, 0.7)  # of versions 1, 2 and 3


def make_versions(folder, template, *, count=1):
    """Return a workspace with `count` registered versions, alike but for their thresholds, version 1 champion, and the images they were made with."""
    root = folder / "repository"
    shutil.copytree(template, root)
    workspace = Workspace(root=root)
    images = [draw(folder / f"{number}.png", number, bar=number >= 4) for number in range(8)]
    product = load_product(workspace.params_file, "tiny")
    (folder / "parts").mkdir()
    shutil.copytree(write_real_bundle(folder / "parts", images), workspace.bundle("tiny"))
    for number, value in enumerate(THRESHOLDS[:count], start=1):
        manifest = workspace.bundle("tiny") / "bundle.json"
        content = json.loads(manifest.read_text())
        content["threshold"]["value"] = value
        manifest.write_text(json.dumps(content))
        assert publish.register(product, workspace).version == str(number)
    crown(workspace, "1")
    return workspace, images


def crown(workspace, version):
    """Make a version champion, as the gate does."""
    move_alias(prepare(workspace), "tiny", workspace, publish.CHAMPION, version, "a test says so")


def spoil(workspace, version):
    """Change one file of a registered version."""
    bundle = publish.download_bundle(prepare(workspace), "tiny", version)
    file = bundle / "classifier.skops"
    file.write_bytes(file.read_bytes() + b" ")


def set_serving(workspace, **keys):
    """Write the section serving of the one product."""
    text = workspace.params_file.read_text().split("    serving:")[0]
    said = ", ".join(f"{key}: {value}" for key, value in keys.items())
    workspace.params_file.write_text(f"{text}    serving: {{{said}}}\n")


def start(workspace, *options):
    """Start `zeromiss serve tiny` at a free port and return the process at once."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_TRACKING", "MLFLOW_RUN", "ZEROMISS_"))}
    command = [sys.executable, "-m", "zeromiss.cli", "serve", "tiny", "--port", "0", *options]
    return subprocess.Popen(command, cwd=workspace.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def refused(workspace, *options):
    """Return the exit code, output and errors of a server that is not to start."""
    process = start(workspace, *options)
    try:
        out, err = process.communicate(timeout=400)
    finally:
        process.kill()
    return process.returncode, out, err


@contextmanager
def served(workspace, *options):
    """Yield a client of a running server, whose process is `client.process`; it is stopped afterwards."""
    process = start(workspace, *options)
    try:
        line = process.stdout.readline()
        assert "is served at http://" in line, line + process.stderr.read()
        with httpx.Client(base_url=line.split(" at ")[1].split()[0], timeout=60.0, trust_env=False) as client:
            client.process = process
            yield client
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise


def wait_for(ask, seconds):
    """Ask until the answer is true and return it."""
    end = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def as_json(path, **more):
    """Return an image file as a JSON request wants it."""
    return {"image": base64.b64encode(path.read_bytes()).decode()} | more
