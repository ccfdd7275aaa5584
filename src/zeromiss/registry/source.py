"""What a version was made from, kept with its run: with these files and DVC's data it can be made again.

    source/params.yaml          the parameters, as they lay there
    source/dvc.lock             which every run writes, and which the commit therefore need not hold
    source/<product>.dvc        DVC's pointer to the raw images
    source/manifest.parquet     every image with its SHA-256, label and split
    source/labels.json          labels that people changed: what, who, when, why
    source/duplicates.json      near-duplicate photographs that the manifest stage found, and the parts that they join
    source/changes.patch        what differs from the commit, dvc.lock apart; only where something does
    source/untracked/...        files git neither tracks nor ignores
"""

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from zeromiss.images.labels import FILE as LABELS_FILE
from zeromiss.images.manifest import FILE as MANIFEST_FILE
from zeromiss.images.near_duplicates import FILE as DUPLICATES_FILE
from zeromiss.params import Product
from zeromiss.registry.facts import NONE, data_hash, git_output
from zeromiss.registry.seal import SOURCE, listing, log_seal
from zeromiss.registry.tracking import MlflowLog
from zeromiss.workspace import Workspace

FOLDER = "source"
PARAMS, LOCK, CHANGES, UNTRACKED = "params.yaml", "dvc.lock", "changes.patch", "untracked"
COMPLETE, MISSING = "source.complete", "source.missing"
LARGEST = 1_000_000  # bytes of an untracked file that is kept
_ALL_BUT_LOCK = (".", f":(exclude){LOCK}")


@dataclass(kw_only=True)
class Source:
    """The collected files of a version, and in words what keeps it from being made again."""

    folder: Path
    missing: list[str] = field(default_factory=list)

    def tags(self) -> dict[str, str]:
        """Return the tags that say whether all is there."""
        tags = {COMPLETE: str(not self.missing).lower()}
        return tags | ({MISSING: "; ".join(self.missing)} if self.missing else {})


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
    shutil.copyfile(workspace.params_file, folder / PARAMS)
    pointer = workspace.raw(product.name).with_suffix(".dvc")
    manifest = workspace.manifest(product.name)
    for path in (workspace.root / LOCK, pointer, manifest / MANIFEST_FILE, manifest / LABELS_FILE, manifest / DUPLICATES_FILE):
        if path.is_file():
            shutil.copyfile(path, folder / path.name)
    if data_hash(product.name, workspace) == NONE:
        source.missing.append(f"the raw images have no version: {pointer.relative_to(workspace.root)} does not exist")
    if git_output(workspace, "rev-parse", "HEAD"):
        _keep_changes(source, workspace)
        _keep_untracked(source, workspace)
        _name_weights(source, product, workspace)
    else:
        source.missing.append("there is no git commit")
    return source


def _keep_changes(source: Source, workspace: Workspace) -> None:
    """Write what differs from the commit as a patch, whatever git is configured to print otherwise."""
    plain = ("--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--src-prefix=a/", "--dst-prefix=b/")
    patch = git_output(workspace, "diff", *plain, "HEAD", "--", *_ALL_BUT_LOCK)
    if patch is None:
        source.missing.append("git could not print what differs from the commit")
    elif patch:
        (source.folder / CHANGES).write_bytes(patch)


def _keep_untracked(source: Source, workspace: Workspace) -> None:
    """Copy the files that git neither tracks nor ignores; name those that are too large or no plain files."""
    listed = git_output(workspace, "ls-files", "--others", "--exclude-standard", "-z", "--", *_ALL_BUT_LOCK)
    if listed is None:
        source.missing.append("git could not list the files that it does not track")
        return
    for name in filter(None, listed.decode("utf-8", "surrogateescape").split("\0")):
        path, kept = workspace.root / name, source.folder / UNTRACKED / name
        if path.is_symlink() or not path.is_file():
            source.missing.append(f"{name} is no plain file and not in git")
        elif path.stat().st_size >= LARGEST:
            source.missing.append(f"{name} is not in git and has {path.stat().st_size / 1e6:.1f} MB")
        else:
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, kept)


def _name_weights(source: Source, product: Product, workspace: Workspace) -> None:
    """Name weights that params.yaml gives by path and git does not hold."""
    sections = (getattr(product, name) for name in ("metrics", *product.detectors))
    named = {value for section in sections for key, value in section if key.endswith("_path") and value is not None}
    for given in sorted(named):
        kept = source.folder / UNTRACKED / given
        if not git_output(workspace, "ls-files", "--", given) and not (not Path(given).is_absolute() and kept.is_file()):
            source.missing.append(f"the weights {given} are not in git")
