"""Checks of files: a version's bundle, model, source and summary against the hashes written down at registration."""

from pathlib import Path

from zeromiss.files import sha256_file
from zeromiss.inspection.bundle import MANIFEST, SUMMARY
from zeromiss.registry import seal
from zeromiss.registry.audit_check import Check, Finding, changed, lost, read_mapping
from zeromiss.registry.facts import NONE
from zeromiss.registry.publish import BUNDLE_TAG
from zeromiss.registry.source import FOLDER as SOURCE
from zeromiss.registry.source import LOCK
from zeromiss.registry.stored import Stored

_HOW = {"missing": "is missing", "changed": "has changed (SHA-256 differs)", "extra": "was not there when it was sealed"}


def check_bundle(folder: Path | None, digest: str | None, *, what: str = "bundle") -> Check:
    """Compare bundle.json with its tag, and every file of the bundle with bundle.json."""
    if folder is None or not (folder / MANIFEST).is_file():
        return Check(what=what, findings=(lost(MANIFEST, f"{MANIFEST} is missing: the registry does not have the bundle any more"),))
    found = seal.listing(folder)
    stated = _files(folder / MANIFEST)
    if stated is None:
        return Check(what=what, findings=(changed(MANIFEST, f"{MANIFEST} is not readable as a list of files"),))
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
