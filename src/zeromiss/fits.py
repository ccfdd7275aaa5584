"""`data/detectors.yaml`: the products' lists of detectors turned round, for the loops of dvc.yaml.

DVC has no loop within a loop: a detector's stage needs the list of its products, and a product's entry in params.yaml
holds the list of its detectors. That list is the one people edit; this file follows it.
"""

from io import StringIO
from typing import Any

from ruamel.yaml import YAML

from zeromiss.detector_params import DETECTORS
from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path
from zeromiss.params import SECTIONS, read_params
from zeromiss.workspace import Workspace

_HEADER = """\
# Which products each detector learns: the `detectors` lists of params.yaml turned round, for dvc.yaml's loops.
# Written by zeromiss from params.yaml; edit that file instead.
"""
_LOOP = "${fits."  # what dvc.yaml says where it reads this file


def follow_params(workspace: Workspace) -> bool:
    """Write `data/detectors.yaml` anew where it does not follow params.yaml; return whether it did not.

    Every product gets its file of label changes, empty where there is none: DVC tracks it by name. A dvc.yaml without loops
    over detectors needs neither, and gets none. Raises ZeromissError when params.yaml lists
    an unknown detector, or lacks a section that dvc.yaml tracks.
    """
    if _LOOP not in (workspace.root / "dvc.yaml").read_text(encoding="utf-8"):
        return False
    tree = read_params(workspace.params_file)
    for name in tree["products"]:
        workspace.labels(name).parent.mkdir(parents=True, exist_ok=True)
        workspace.labels(name).touch()
    for name, entry in tree["products"].items():
        _check_sections(tree, name, entry or {}, origin=str(workspace.params_file))
    text = _HEADER + _as_yaml({"fits": turned_round(tree)})
    if workspace.fits_file.is_file() and workspace.fits_file.read_text(encoding="utf-8") == text:
        return False
    with atomic_path(workspace.fits_file) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return True


def refuse_other_lists(workspace: Workspace) -> None:
    """Raise ZeromissError where `data/detectors.yaml` did not follow params.yaml; it does now, so that DVC can be asked again."""
    if follow_params(workspace):
        raise ZeromissError(
            f"{workspace.fits_file} did not follow the detectors of params.yaml and has been written anew: start DVC or zeromiss run again"
        )


def turned_round(tree: dict[str, Any]) -> dict[str, dict[str, dict[str, str]]]:
    """Return, for each detector, the products that list it with their profiles; `tree` is params.yaml."""
    return {
        detector: {
            name: {"profile": (entry or {}).get("profile", "quick")}
            for name, entry in tree["products"].items()
            if detector in (entry or {}).get("detectors", ())
        }
        for detector in DETECTORS
    }


def _check_sections(tree: dict[str, Any], name: str, entry: dict[str, Any], *, origin: str) -> None:
    """Raise ZeromissError unless the product and its profile hold every section that a stage of its own depends on."""
    if not isinstance(entry.get("detectors"), list):
        raise ZeromissError(f"{origin}: products.{name} has no list of detectors: add detectors: [vqgan]")
    for detector in entry["detectors"]:
        if detector not in DETECTORS:
            raise ZeromissError(f"{origin}: products.{name}.detectors: {detector!r} is none of {', '.join(DETECTORS)}")
    profile = entry.get("profile", "quick")
    places = ((f"products.{name}", entry), (f"profiles.{profile}", tree["profiles"].get(profile) or {}))
    for place, mapping in places:
        for section in (*SECTIONS, *entry["detectors"]):
            if section not in mapping:
                raise ZeromissError(f"{origin}: {place} has no section {section}, by whose name DVC tracks it: add {section}: {{}}")


def _as_yaml(tree: dict[str, Any]) -> str:
    """Return a tree as YAML text, its deepest mappings on one line."""
    yaml, out = YAML(), StringIO()
    yaml.default_flow_style = None
    yaml.width = 200
    yaml.dump(tree, out)
    return out.getvalue()
