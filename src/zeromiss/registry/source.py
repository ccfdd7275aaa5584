"""What a version was made from, kept with its run: with these files and DVC's data it can be made again.

    source/params.yaml          the parameters, as they lay there
    source/dvc.lock             which every run writes, and which the commit therefore need not hold
    source/<product>.dvc        DVC's pointer to the raw images
    source/manifest.parquet     every image with its SHA-256, label and split
    source/labels.json          labels that people changed: what, who, when, why
    source/duplicates.json      near-duplicate photographs that the manifest stage found, and the parts that they join
    source/changes.patch        what differs from the commit, dvc.lock apart; only where something does
    source/untracked/...        files that a stage depends on and git neither tracks nor ignores

What looks like a secret (a private key, a file for its owner alone) is never copied: the version then says what is missing.
"""

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml import YAML

from zeromiss.images.labels import FILE as LABELS_FILE
from zeromiss.images.manifest import FILE as MANIFEST_FILE
from zeromiss.images.near_duplicates import FILE as DUPLICATES_FILE
from zeromiss.params import Product
from zeromiss.registry.facts import NONE, data_hash, git_output
from zeromiss.registry.seal import SOURCE, listing, log_seal
from zeromiss.registry.secret_files import looks_secret, private
from zeromiss.registry.tracking import MlflowLog
from zeromiss.workspace import Workspace

FOLDER = "source"
PARAMS, LOCK, CHANGES, UNTRACKED, GRAPH = "params.yaml", "dvc.lock", "changes.patch", "untracked", "dvc.yaml"
COMPLETE, MISSING, TAKEN = "source.complete", "source.missing", "source.untracked"
LARGEST = 1_000_000  # bytes of an untracked file that is kept
_LONGEST = 4000  # characters of a tag
_ALL_BUT_LOCK = (".", f":(exclude){LOCK}")


@dataclass(kw_only=True)
class Source:
    """The collected files of a version, and in words what keeps it from being made again."""

    folder: Path
    missing: list[str] = field(default_factory=list)
    untracked: list[str] = field(default_factory=list)  # copied files that git does not track

    def tags(self) -> dict[str, str]:
        """Return the tags that say whether all is there."""
        tags = {COMPLETE: str(not self.missing).lower()}
        tags |= {MISSING: "; ".join(self.missing)} if self.missing else {}
        return tags | ({TAKEN: ", ".join(self.untracked)[:_LONGEST]} if self.untracked else {})


def log_source(log: MlflowLog, product: Product, workspace: Workspace) -> dict[str, str]:
    """Log the source of the product's bundle, sealed, with a run and return the tags, which the run gets as well."""
    with tempfile.TemporaryDirectory() as draft:
        source = collect(product, workspace, Path(draft) / FOLDER)
        log.artifact(source.folder)
        tags = source.tags() | log_seal(log, SOURCE, listing(source.folder))
    log.tags(tags)
    return tags


def collect(product: Product, workspace: Workspace, folder: Path) -> Source:
    """Copy the source of the product's bundle into `folder`, which is made."""
    folder.mkdir(parents=True)
    source = Source(folder=folder)
    pointer = workspace.raw(product.name).with_suffix(".dvc")
    manifest = workspace.manifest(product.name)
    for path in (workspace.params_file, workspace.root / LOCK, pointer, manifest / MANIFEST_FILE, manifest / LABELS_FILE, manifest / DUPLICATES_FILE):
        if path.is_file():
            why = looks_secret(path.name, path.read_bytes()) if path.suffix != ".parquet" else None
            if why is not None:
                source.missing.append(f"{path.name} is not kept: {why}")
            else:
                shutil.copy(path, folder / path.name)
    if data_hash(product.name, workspace) == NONE:
        source.missing.append(f"the raw images have no version: {pointer.relative_to(workspace.root)} does not exist")
    if git_output(workspace, "rev-parse", "HEAD"):
        _keep_changes(source, workspace)
        _keep_untracked(source, product, workspace)
        _name_weights(source, product, workspace)
    else:
        source.missing.append("there is no git commit")
    return source


def _keep_changes(source: Source, workspace: Workspace) -> None:
    """Write what differs from the commit as a patch, whatever git is configured to print otherwise; leave out files that look like secrets."""
    plain = ("--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--src-prefix=a/", "--dst-prefix=b/")
    listed = git_output(workspace, "diff", "--name-only", "--no-renames", "--relative", "-z", "HEAD", "--", *_ALL_BUT_LOCK)
    left_out = []
    for name in _names(listed or b""):
        path = workspace.root / name
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        why = looks_secret(name, content + (git_output(workspace, "show", f"HEAD:./{name}") or b""))
        if why is not None:
            source.missing.append(f"{name} differs from the commit and is not kept: {why}")
            left_out.append(f":(exclude,literal){name}")
    patch = git_output(workspace, "diff", *plain, "HEAD", "--", *_ALL_BUT_LOCK, *left_out)
    if patch is None or listed is None:
        source.missing.append("git could not print what differs from the commit")
    elif patch:
        (source.folder / CHANGES).write_bytes(patch)


def _keep_untracked(source: Source, product: Product, workspace: Workspace) -> None:
    """Copy the files that a stage depends on and git neither tracks nor ignores, with their modes.

    Named are those that are too large, no plain files, or look like secrets.
    """
    listed = git_output(workspace, "ls-files", "--others", "--exclude-standard", "-z", "--", *_ALL_BUT_LOCK)
    if listed is None:
        source.missing.append("git could not list the files that it does not track")
        return
    needed = dependencies(product, workspace)
    for name in _names(listed):
        if not any(name == one or name.startswith(f"{one}/") for one in needed):
            continue
        path, kept = workspace.root / name, source.folder / UNTRACKED / name
        if path.is_symlink() or not path.is_file():
            source.missing.append(f"{name} is no plain file and not in git")
        elif path.stat().st_size >= LARGEST:
            source.missing.append(f"{name} is not in git and has {path.stat().st_size / 1e6:.1f} MB")
        elif (why := private(path) or looks_secret(name, path.read_bytes())) is not None:
            source.missing.append(f"{name} is not in git and is not kept: {why}")
        else:
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, kept)
            source.untracked.append(name)


def dependencies(product: Product, workspace: Workspace) -> frozenset[str]:
    """Return the files and folders, relative to the workspace, that the product's stages depend on; its raw images are not among them."""
    graph = YAML(typ="safe").load((workspace.root / GRAPH).read_text(encoding="utf-8")) or {}
    stages = [stage.get("do", stage) for stage in (graph.get("stages") or {}).values()]
    listed = [dependency for stage in stages for dependency in stage.get("deps", [])]
    paths = {(next(iter(one)) if isinstance(one, dict) else one).replace("${key}", product.name).rstrip("/") for one in listed}
    named = {value for name in ("metrics", *product.detectors) for key, value in getattr(product, name) if key.endswith("_path") and value is not None}
    raw = workspace.raw(product.name).relative_to(workspace.root).as_posix()
    return frozenset({GRAPH, PARAMS, *graph.get("vars", []), *paths, *named}) - {raw}


def _names(listed: bytes) -> list[str]:
    """Return the names that git printed, each ended by a zero."""
    return [name for name in listed.decode("utf-8", "surrogateescape").split("\0") if name]


def _name_weights(source: Source, product: Product, workspace: Workspace) -> None:
    """Name weights that params.yaml gives by path and git does not hold."""
    sections = (getattr(product, name) for name in ("metrics", *product.detectors))
    named = {value for section in sections for key, value in section if key.endswith("_path") and value is not None}
    for given in sorted(named):
        kept = source.folder / UNTRACKED / given
        if not git_output(workspace, "ls-files", "--", given) and not (not Path(given).is_absolute() and kept.is_file()):
            source.missing.append(f"the weights {given} are not in git")
