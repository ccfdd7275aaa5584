"""Repositories that tests work in: git, and DVC where it is asked for, with all that lies in them committed."""

import subprocess
import sys
from pathlib import Path

from zeromiss import schemas
from zeromiss.workspace import Workspace

PROFILE = """schema_version: 1
profiles:
  quick: {size: 64, manifest: {}, align: {}, vqgan: {}, metrics: {}, selection: {}, threshold: {}, promotion: {report: false, clean: any}, inspection: {}, compare: {}, monitor: {}}
products:
"""  # how a params.yaml begins: one profile of 64 pixels of repositories without reports and versioned images
GITIGNORE = "/data/?*/?*\n!/data/01_raw/?*.dvc\n!/data/01_labels/?*.csv\n/mlruns/\n/calls.txt\n/.zeromiss/\n"
NO_LABELS = {"changed": [], "unsure": [], "confirmed": [], "sentence": ""}  # labels.json where nobody changed one


def unaligned(workspace: Workspace, product: str) -> None:
    """Write what the manifest stage writes beside the manifest of a product whose images are not aligned, and whose labels nobody changed."""
    from zeromiss.files import write_json
    from zeromiss.images.reference import write_alignment  # flows' tests do without pictures
    from zeromiss.stage_params import AlignParams

    write_json(workspace.manifest(product) / "labels.json", NO_LABELS, schema_version=1)
    no_duplicates(workspace, product)
    write_alignment(workspace.alignment(product), AlignParams(), raw=workspace.raw(product), reference=None, size=64)


def read_traits(workspace: Workspace, product: str) -> None:
    """Write the trivial properties of the images of a product's manifest, as the manifest stage does."""
    from zeromiss.images import manifest, shortcuts
    from zeromiss.tables import read_table, write_table

    rows = read_table(workspace.manifest(product) / manifest.FILE, schema_version=manifest.SCHEMA_VERSION)
    found = shortcuts.read_properties(rows, workspace.raw(product))
    write_table(workspace.manifest(product) / shortcuts.PROPERTIES_FILE, found, schema_version=schemas.PROPERTIES)


def no_duplicates(workspace: Workspace, product: str) -> None:
    """Write what the manifest stage writes of near-duplicates where it found none."""
    from zeromiss.files import write_json

    write_json(workspace.manifest(product) / "duplicates.json", {"mode": "group", "pairs": [], "groups": [], "sentence": "none"}, schema_version=1)


def git_and_dvc(root: Path, *, dvc: bool = True) -> Path:
    """Make a repository of a folder: one commit of what lies in it and is not ignored."""
    (root / ".gitignore").write_text(GITIGNORE)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-C", str(root)]
    subprocess.run([*git, "init", "-q"], check=True)
    if dvc:
        subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=root, check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "a small repository"], check=True)
    return root
