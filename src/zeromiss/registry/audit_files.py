"""Checks of files: a version's bundle, model, source, summary and threshold against what was written down at registration."""

from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlparse

from zeromiss.files import sha256_file
from zeromiss.inspection.bundle import MANIFEST, SUMMARY
from zeromiss.registry import seal
from zeromiss.registry.audit_check import Check, Finding, changed, lost, read_mapping, section
from zeromiss.registry.facts import NONE
from zeromiss.registry.publish import BUNDLE_TAG
from zeromiss.registry.secret_files import looks_secret
from zeromiss.registry.source import FOLDER as SOURCE
from zeromiss.registry.source import LOCK
from zeromiss.registry.store import embedded_home
from zeromiss.registry.stored import Stored
from zeromiss.workspace import Workspace

_HOW = {"missing": "is missing", "changed": "has changed (SHA-256 differs)", "extra": "was not there when it was sealed",
        seal.LINK: "is a link, and what it points to may change unseen", seal.SPECIAL: "is no regular file"}  # fmt: skip


def check_place(stored: Stored, workspace: Workspace) -> Check:
    """Compare where the version's files lie with where the store keeps its files: no address outside, no link on the way."""
    homes = [home for home in (stored.home, embedded_home(workspace)) if home is not None]
    outside = [home for home in homes if not _lies_below(stored.uri, home)]
    findings = tuple(Finding(name="model", how="outside", sentence=f"its files lie at {stored.uri}, outside the store's {home}") for home in outside[:1])
    return Check(what="place", compared=len(homes), findings=findings)


def _lies_below(uri: str, home: str) -> bool:
    """Return whether an address lies below another; of folders on this machine, with all links resolved."""
    here, there = urlparse(uri), urlparse(home)
    if here.scheme in ("", "file") and there.scheme in ("", "file"):
        return Path(unquote(here.path)).resolve().is_relative_to(Path(unquote(there.path)).resolve())
    path, root = PurePosixPath(unquote(here.path)), PurePosixPath(unquote(there.path))
    same_host = not here.netloc or not there.netloc or here.netloc == there.netloc  # of the server that is asked, where none is named
    return here.scheme == there.scheme and same_host and path.is_relative_to(root) and ".." not in path.parts


def check_bundle(folder: Path | None, digest: str | None, *, what: str = "bundle") -> Check:
    """Compare bundle.json with its tag, and every file of the bundle with bundle.json."""
    if folder is None or folder.is_symlink() or not (folder / MANIFEST).is_file():
        return Check(what=what, findings=(lost(MANIFEST, f"{MANIFEST} is missing: the registry does not have the bundle any more"),))
    found = seal.listing(folder)
    stated = _files(folder / MANIFEST)
    if stated is None:
        return Check(what=what, findings=(changed(MANIFEST, f"{MANIFEST} is not readable as a list of files"),))
    strays = [name for name in stated if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts]
    if strays:
        findings = tuple(changed(name, f"{MANIFEST} lists {name}, which lies outside the bundle") for name in strays)
        return Check(what=what, compared=len(stated), findings=findings)
    if digest is not None:
        stated[MANIFEST] = digest
    inside = {name: value for name, value in found.items() if name != SUMMARY and (name != MANIFEST or digest is not None)}
    note = "" if digest is not None else f"the version has no tag {BUNDLE_TAG} for {MANIFEST}"
    return Check(what=what, compared=len(stated), findings=_told(seal.compare(stated, inside)), note=note)


def check_model(stored: Stored) -> Check:
    """Compare what the registered model holds beside the bundle, such as the code that serves it, with its seal."""
    known = "" if stored.bundle is None or stored.model is None else f"{stored.bundle.relative_to(stored.model).as_posix()}/"
    return _check_sealed(stored, seal.MODEL, stored.model, known=known)


def _check_sealed(stored: Stored, what: str, folder: Path | None, *, known: str = "") -> Check:
    """Compare a folder with its seal, and the seal with its tag; files below `known` are compared elsewhere."""
    path, digest = stored.file(seal.FOLDER, f"{what}.json"), stored.tags.get(seal.tag(what))
    if digest is None and path is None:
        return Check(what=what, note=f"the version was registered before its {what} was sealed")
    if path is None:
        return Check(what=what, findings=(lost(f"{seal.FOLDER}/{what}.json", f"the seal {seal.FOLDER}/{what}.json is missing"),))
    stated = _files(path)
    if sha256_file(path) != digest or stated is None:
        return Check(what=what, findings=(changed(f"{seal.FOLDER}/{what}.json", f"the seal {seal.FOLDER}/{what}.json does not match its tag"),))
    found = seal.listing(folder) if folder is not None else {}
    here = [{name: value for name, value in files.items() if not known or not name.startswith(known)} for files in (stated, found)]
    return Check(what=what, compared=len(here[0]), findings=_told(seal.compare(*here)))


def check_source(stored: Stored) -> Check:
    """Compare the stored source with its seal, and dvc.lock with the tag of its own."""
    check = _check_sealed(stored, seal.SOURCE, stored.artifacts.get(SOURCE))
    lock, stated = stored.file(SOURCE, LOCK), stored.tags.get("dvc.lock", NONE)
    if lock is not None and sha256_file(lock) != stated:
        finding = changed(f"{SOURCE}/{LOCK}", f"{SOURCE}/{LOCK} is not the file that the tag dvc.lock names")
        return Check(what=check.what, compared=check.compared, findings=(*check.findings, finding))
    return check


def check_secrets(stored: Stored) -> Check:
    """Look for secrets among the stored source and code, which everybody who may read the store can read."""
    folders = {SOURCE: stored.artifacts.get(SOURCE), "model/code": None if stored.model is None else stored.model / "code"}
    findings, compared = [], 0
    for what, folder in folders.items():
        for path in sorted(folder.rglob("*")) if folder is not None and folder.is_dir() else ():
            if not path.is_file() or path.is_symlink() or "__pycache__" in path.parts:
                continue
            compared, name = compared + 1, f"{what}/{path.relative_to(folder).as_posix()}"
            why = looks_secret(name, path.read_bytes())
            if why is not None:
                sentence = f"{name} should not be in the registry: {why}; delete it there and change the secret"
                findings.append(Finding(name=name, how="secret", sentence=sentence))
    return Check(what="secrets", compared=compared, findings=tuple(findings))


def check_monitor(stored: Stored) -> Check:
    """Compare the normal images' measurements that drift is measured against with their checksums."""
    if seal.tag(seal.MONITOR) not in stored.tags:
        return Check(what=seal.MONITOR, findings=(lost(seal.MONITOR, f"the tag {seal.tag(seal.MONITOR)} is missing, so that nothing vouches for {seal.MONITOR}/"),))
    return _check_sealed(stored, seal.MONITOR, stored.artifacts.get(seal.MONITOR))


def check_summary(stored: Stored, copy: Path | None) -> Check:
    """Compare summary.json, which bundle.json does not list, with the model's seal or else with `copy`.

    `copy`: the one that the run of the stage `bundle` kept.
    """
    own = stored.bundle / SUMMARY if stored.bundle is not None else None
    if own is None or not own.is_file():
        return Check(what=SUMMARY, findings=(lost(SUMMARY, f"{SUMMARY} is missing"),))
    stated = _sealed_summary(stored) or (None if copy is None else sha256_file(copy))
    if stated is None:
        return Check(what=SUMMARY, note=f"there is neither a seal of {SUMMARY} nor a second copy")
    findings = () if sha256_file(own) == stated else (changed(SUMMARY, f"{SUMMARY} has changed (SHA-256 differs)"),)
    return Check(what=SUMMARY, compared=1, findings=findings)


def check_threshold(stored: Stored) -> Check:
    """Compare the threshold in the tags with the one in bundle.json, which judges, and with summary.json."""
    bundle, summary = read_mapping(stored.bundle, MANIFEST), read_mapping(stored.bundle, SUMMARY)
    stated = {key.removeprefix("threshold."): value for key, value in stored.tags.items() if key.startswith("threshold.")}
    findings, compared = [], 0
    for name, threshold in ((MANIFEST, section(bundle, "threshold")), (SUMMARY, section(summary, "threshold"))):
        for key in sorted(set(stated) & set(threshold)):
            compared += 1
            if str(threshold[key]) != stated[key]:
                sentence = f"the tag threshold.{key} says {stated[key]}, {name} says {threshold[key]}"
                findings.append(Finding(name=f"threshold.{key}", how="changed", sentence=sentence))
    return Check(what="threshold", compared=compared, findings=tuple(findings), note="" if stated else "the version has no tags of its threshold")


def _sealed_summary(stored: Stored) -> str | None:
    """Return the SHA-256 of summary.json that the model's seal states."""
    sealed = read_mapping(stored.artifacts.get(seal.FOLDER), f"{seal.MODEL}.json").get("files")
    if stored.bundle is None or stored.model is None or not isinstance(sealed, dict):
        return None
    return sealed.get((stored.bundle / SUMMARY).relative_to(stored.model).as_posix())


def _files(path: Path) -> dict[str, str] | None:
    """Return the list of files that a JSON file states, None where it states none that can be read."""
    files = read_mapping(path.parent, path.name).get("files")
    well = isinstance(files, dict) and all(isinstance(value, str) for value in files.values())
    return dict(files) if well else None


def _told(differences: list[seal.Difference]) -> tuple[Finding, ...]:
    """Put differences of files into words."""
    return tuple(Finding(name=one.file, how=one.how, sentence=f"{one.file} {_HOW[one.how]}") for one in differences)
