"""A plant in small: a repository with one line of boards, a camera's bucket, the whole set of services, and a person at a shell."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import cv2
import httpx
import numpy as np

from tests.deploy_parts import ask, begin, ended, until
from tests.inbox_parts import git
from zeromiss.fits import follow_params
from zeromiss.workspace import Workspace

REPOSITORY = Path(__file__).resolve().parents[2]
PRODUCT, SIZE = "boards", 64
CODE = ("src", "flows", "tasks", "dvc.yaml", "prefect.yaml", ".gitignore", ".dvcignore")
PARAMS = f"""schema_version: 1
profiles:
  quick: {{size: {SIZE}, ingest: {{}}, manifest: {{}}, align: {{}}, vqgan: {{}}, metrics: {{}}, selection: {{}}, threshold: {{}}, promotion: {{}}, inspection: {{}}, compare: {{}}, serving: {{}}, monitor: {{}}}}
products:
  {PRODUCT}:
    profile: quick
    seed: 0
    size: null
    detectors: [vqgan]
    source: {{kind: csv, path: nothing.csv}}
    ingest: {{inbox: "s3://incoming/{PRODUCT}", settle_seconds: 1, remove: true, push: true}}
    manifest: {{mask: 4}}
    vqgan: {{channels: [8, 16], blocks: 1, codes: 16, code_dim: 4, critic_channels: 4, attention: false, crop: 32, batch: 4, steps: 60, codebook_start: 20, dead_after: 10,
            critic_start: 40, critic_warmup: 10, perceptual: 0.1}}
    metrics: {{pixels: 10, patches: 20}}
    selection: {{families: [lr], draws: 3, folds: 2, outer_folds: 2}}
    promotion: {{mode: approve, clean: committed, latency_ms: 60000, min_passed: 0}}
    serving: {{poll_seconds: 1}}
    align: {{}}
    threshold: {{}}
    inspection: {{}}
    compare: {{}}
    monitor: {{}}
"""


def draw(folder: Path, kind: str, numbers: range, *, light: float = 1.0) -> list[Path]:
    """Draw boards: copper on green, a little noise; whatever is not `good` has a bright spot. `light` is the lamp's."""
    paths = []
    for number in numbers:
        rng = np.random.default_rng([number, len(kind)])
        image = np.full((SIZE, SIZE, 3), (60, 110, 40), np.float64)
        for row in range(8, SIZE, 16):
            image[row : row + 5, 6:58] = (70, 130, 180)
        if kind != "good":
            top, left = rng.integers(8, SIZE - 24, 2)
            image[top : top + 14, left : left + 14] = 240
        path = folder / kind / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.clip(image * light + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8))
        paths.append(path)
    return paths


def make_repository(root: Path) -> None:
    """Make the line's repository: this project's code, one product, git with an origin, DVC."""
    root.mkdir()
    for name in CODE:
        one = REPOSITORY / name
        shutil.copytree(one, root / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")) if one.is_dir() else shutil.copy(one, root / name)
    (root / "params.yaml").write_text(PARAMS)
    git(root, "init", "-q", "-b", "main")
    for key, value in {"user.name": "line", "user.email": "line@example.com"}.items():
        git(root, "config", key, value)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=root, check=True)
    (root / "data").mkdir()
    follow_params(Workspace(root=root))
    git(root, "add", "-A")
    git(root, "commit", "-qm", "A line of boards")
    origin = root.with_name("origin.git")
    subprocess.run(["git", "clone", "-q", "--bare", str(root), str(origin)], check=True)
    git(root, "remote", "add", "origin", str(origin))
    git(root, "push", "-qu", "origin", "main")


def environment(root: Path) -> dict[str, str]:
    """Return the variables of a shell in the repository: its own code runs, by the commands that users type."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}


class Plant:
    """The line, and what happened there when."""

    def __init__(self, root: Path, env: dict[str, str]) -> None:
        """Stand in the repository with the services' variables."""
        self.root, self.environ, self.api = root, os.environ | env | environment(root), env["PREFECT_API_URL"]
        self.timeline: list[tuple[str, float]] = []
        self.begun = time.monotonic()

    def shell(self, *words: str) -> str:
        """Run a command of zeromiss as a person does and return what it says."""
        done = subprocess.run([Path(sys.executable).with_name("zeromiss"), *words], cwd=self.root, env=self.environ, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, (words, done.stdout[-3000:], done.stderr[-3000:])
        return done.stdout

    def camera(self, paths: list[Path], *, label: str) -> None:
        """Put images into the camera's bucket."""
        import boto3

        names = {"aws_access_key_id": "AWS_ACCESS_KEY_ID", "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY", "region_name": "AWS_DEFAULT_REGION", "endpoint_url": "AWS_ENDPOINT_URL"}
        client = boto3.client("s3", **{name: self.environ[key] for name, key in names.items()})
        for path in paths:
            client.upload_file(str(path), "incoming", f"{PRODUCT}/{label}/{path.parent.name}-{path.name}")
        time.sleep(2)  # ingest.settle_seconds

    def runs(self, flow: str) -> list[dict]:
        """Return the runs of a flow's deployment, the first that was begun first."""
        found = {"deployments": {"name": {"any_": [PRODUCT]}}, "flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_ASC"}
        return ask(self.api, "flow_runs/filter", **found)

    def begin(self, flow: str) -> str:
        """Have a deployment run at once and return the run."""
        return begin(self.api, flow)

    def end(self, run: str, seconds: float = 900) -> None:
        """Wait until a run is completed."""
        state = until(lambda: ended(self.api, run), seconds, "the run ends")
        assert state["type"] == "COMPLETED", (state["message"], self.logs(run))

    def logs(self, run: str) -> str:
        """Return what a run said."""
        return "\n".join(one["message"] for one in ask(self.api, "logs/filter", logs={"flow_run_id": {"any_": [run]}}, limit=200))

    def events(self, name: str) -> list[dict]:
        """Return the events of a name that the server has heard."""
        return ask(self.api, "events/filter", filter={"event": {"name": [name]}})["events"]

    def step(self, words: str, *, versions: int) -> None:
        """Note a step and have every version that there is audited."""
        self.timeline.append((words, time.monotonic() - self.begun))
        for version in range(1, versions + 1):
            self.shell("audit", f"{PRODUCT}/{version}")  # ends with another code where anything does not match

    @contextmanager
    def server(self):
        """Yield a client of `zeromiss serve`."""
        command = [Path(sys.executable).with_name("zeromiss"), "serve", PRODUCT, "--port", "0"]
        process = subprocess.Popen(command, cwd=self.root, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            line = process.stdout.readline()
            assert "is served at http://" in line, line + process.stderr.read()
            with httpx.Client(base_url=line.split(" at ")[1].split()[0], timeout=60.0, trust_env=False) as client:
                yield client
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=120)
