"""Machines of a test: clones of one bare repository, each with a folder and a home of its own, one remote of DVC's between them."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
from tests.registry_parts import git

REPOSITORY = Path(__file__).resolve().parents[2]


class Machine:
    """A clone of the shared repository, with the environment in which a process of that machine runs."""

    def __init__(self, folder, bare, **settings):
        """Clone `bare` into a folder of the machine's own."""
        self.root, self.home = folder / "clone", folder / "home"
        self.home.mkdir(parents=True)
        subprocess.run(["git", "clone", "-q", str(bare), str(self.root)], check=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "ZEROMISS_", "MLFLOW_", "XDG_"))}
        self.environment = kept | {
            "HOME": str(self.home), "PREFECT_HOME": str(self.home / "prefect"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DVC_SITE_CACHE_DIR": str(self.home / "dvc"), "PYTHONPATH": f"{self.root / 'src'}{os.pathsep}{self.root}", **settings,
        }  # fmt: skip
        self._worker = None

    def start_worker(self, pool="gpu"):
        """Start a worker of the pool in the clone."""
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", "process", "--name", self.root.parent.name]
        with (self.home / "worker.log").open("wb") as log:
            self._worker = subprocess.Popen(command, cwd=self.root, env=self.environment, stdout=log, stderr=subprocess.STDOUT)

    def kill(self):
        """Take the machine's power away: SIGKILL to the worker and all that it started."""
        if self._worker is None:
            return
        try:
            worker = psutil.Process(self._worker.pid)
            processes = [worker, *worker.children(recursive=True)]
        except psutil.NoSuchProcess:
            processes = []
        for process in processes:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self._worker.wait()
        self._worker = None

    def log(self):
        """Return what the machine's worker said."""
        return (self.home / "worker.log").read_text(errors="replace")


def add_code(root):
    """Put this project's code into a repository: what a worker runs comes out of its own clone."""
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("flows", "tasks", "src/zeromiss"):
        shutil.copytree(REPOSITORY / name, root / name, ignore=ignore, dirs_exist_ok=True)


def share(root, remote):
    """Version the raw images, give the repository a remote of DVC's and one of git's; return the latter, a bare repository."""
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "remote", "add", "-q", "-d", "shared", str(remote)], cwd=root, check=True)
    for raw in sorted((root / "data/01_raw").iterdir()):
        subprocess.run([*dvc, "add", "-q", str(raw.relative_to(root))], cwd=root, check=True)
    with (root / ".gitignore").open("a") as ignored:
        ignored.write("__pycache__/\n.checkpoints/\n")
    (root / ".dvcignore").write_text("__pycache__/\n")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "shared")
    bare = root.with_name("bare.git")
    subprocess.run(["git", "clone", "-q", "--bare", str(root), str(bare)], check=True)
    git(root, "remote", "add", "origin", str(bare))
    git(root, "fetch", "-q", "origin")
    return bare


def deploy_fit(product, pool="gpu"):
    """Register the pool and the deployment by which its workers take the product's stages."""
    from flows.fit import fit
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists

    step = {"prefect.deployments.steps.set_working_directory": {"directory": "."}}
    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        except ObjectAlreadyExists:
            pass
        made = client.create_deployment(
            client.create_flow(fit), name=product, entrypoint="flows.fit.fit", pull_steps=[step], work_pool_name=pool,
            parameters={"product": product, "root": ".", "every": 0.1}, job_variables={"working_dir": "."},
        )  # fmt: skip
    return made


def wait_until(ready, seconds=300.0):
    """Wait for a condition; fail when it does not come."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.05)
