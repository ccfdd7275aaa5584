"""Adding a product, or choosing its detectors: a few lines in `params.yaml`, checked before they are written."""

from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path
from zeromiss.fits import follow_params
from zeromiss.image_size import ImageSize, Size
from zeromiss.params import SECTIONS, Product, load_product, read_params, resolve_product
from zeromiss.stage_params import CompareParams
from zeromiss.workspace import Workspace

NEEDS_PATH = ("mvtec", "csv")


def add_product(
    workspace: Workspace,
    name: str,
    *,
    source: str,
    path: str | None,
    size: Size | None = None,
    profile: str = "quick",
    split: str | None = None,
    detectors: Sequence[str] = ("vqgan", "patchknn"),
    settings: list[str] | None = None,
) -> Product:
    """Add `name` to `params.yaml`, comments kept, and return its checked parameters.

    `settings` are KEY=VALUE strings with dotted keys below the product, e.g. `selection.draws=20`;
    values are read as YAML. Raises ZeromissError when the product exists already, the source needs
    a path that is missing, or a key or value is not valid; the file is then left as it was.
    """
    tree = read_params(workspace.params_file)
    if name in tree["products"]:
        raise ZeromissError(f"product {name!r} is in {workspace.params_file} already: choose another name")
    entry = _new_entry(source, _checked_path(source, path), size, profile, detectors)
    if split is not None:
        entry["manifest"]["split"] = split
    for setting in settings or []:
        _apply(entry, setting)
    tree["products"][name] = entry
    product = resolve_product(tree, name, origin=workspace.params_file)
    _write(workspace, {name: entry})
    return product


def use_detectors(workspace: Workspace, name: str, detectors: Sequence[str]) -> Product:
    """Have a product use `detectors`, in this order, and return its parameters; sections that are missing are added.

    Raises ZeromissError for an unknown product or detector, or a list that does not go with its other parameters; the
    file is then left as it was.
    """
    tree = read_params(workspace.params_file)
    if name not in tree["products"]:
        load_product(workspace.params_file, name)  # says which there are
    entry = dict(tree["products"][name] or {})
    added = {"detectors": list(detectors)} | {section: {} for section in detectors if section not in entry}
    added |= _stacked(detectors, entry.get("selection") or {})
    tree["products"][name] = entry | added
    product = resolve_product(tree, name, origin=workspace.params_file)
    _write(workspace, {name: added})
    return product


def _checked_path(source: str, path: str | None) -> str | None:
    """Return the source's path in absolute form, if that kind of source has one."""
    if source not in NEEDS_PATH:
        if path is not None:
            raise ZeromissError(f"--source {source} brings its own images: leave out --path")
        return None
    if path is None:
        raise ZeromissError(f"--source {source} needs --path: the {'folder' if source == 'mvtec' else 'file'} to read")
    found = Path(path).expanduser().resolve()
    if not found.exists():
        raise ZeromissError(f"--path {path} does not exist: name the {source} source's folder or file")
    return str(found)


def _new_entry(source: str, path: str | None, size: Size | None, profile: str, detectors: Sequence[str]) -> dict[str, Any]:
    """Return a product's mapping with every section present: DVC tracks each of them by name."""
    sections: dict[str, Any] = {section: {} for section in (*detectors, *SECTIONS)}
    origin = {"kind": source} if path is None else {"kind": source, "path": path}
    return {"profile": profile, "seed": 0, "size": None if size is None else ImageSize.of(size).plain, "detectors": list(detectors), "source": origin, **sections} | _stacked(detectors, {})


def _stacked(detectors: Sequence[str], selection: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the section `selection` of a product with several detectors, whose columns are too many; nothing where it says `most`."""
    return {"selection": {**selection, "most": CompareParams().most}} if len(detectors) > 1 and "most" not in selection else {}


def _apply(entry: dict[str, Any], setting: str) -> None:
    """Set one dotted KEY=VALUE in `entry`."""
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise ZeromissError(f"--set {setting}: write KEY=VALUE, for example selection.draws=20")
    try:
        value = YAML(typ="safe").load(StringIO(text))
    except YAMLError:
        raise ZeromissError(f"--set {setting}: the value is not valid YAML") from None
    *folders, last = key.split(".")
    target = entry
    for folder in folders:
        target = target.setdefault(folder, {})
        if not isinstance(target, dict):
            raise ZeromissError(f"--set {setting}: {folder!r} holds a value, not further keys")
    target[last] = value


def _write(workspace: Workspace, entries: dict[str, dict[str, Any]]) -> None:
    """Lay `entries` over the products, leave the rest of the file as it is, and have DVC's loops follow."""
    path, yaml = workspace.params_file, YAML()
    yaml.width = 120
    yaml.representer.add_representer(type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null"))
    tree = yaml.load(path.read_text(encoding="utf-8"))
    for name, entry in entries.items():
        block = tree["products"].get(name) or CommentedMap()
        for key, value in entry.items():
            block[key] = _flow(value) if isinstance(value, dict) else _flow_list(value) if isinstance(value, list) else value
        tree["products"][name] = block
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as handle:
        yaml.dump(tree, handle)
    follow_params(workspace)


def _flow_list(values: list[Any]) -> CommentedSeq:
    """Return a list to be written on one line."""
    block = CommentedSeq(values)
    block.fa.set_flow_style()
    return block


def _flow(mapping: dict[str, Any]) -> CommentedMap:
    """Return `mapping` to be written on one line, as in the rest of the file."""
    block = CommentedMap(mapping)
    block.fa.set_flow_style()
    return block
