"""`zeromiss labels`: show the labels to check first, or record what people say of them."""

import json
from collections.abc import Sequence
from typing import Any

from zeromiss.errors import ZeromissError
from zeromiss.images import labels
from zeromiss.images import manifest as manifests
from zeromiss.images.raw import read_index
from zeromiss.images.words import counted
from zeromiss.lines import wrap
from zeromiss.params import load_product
from zeromiss.reports.families import percent
from zeromiss.reports.label_review import SCHEMA_VERSION, masks, review
from zeromiss.reports.labels_page import write_sheet
from zeromiss.reports.words import price_basis
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace

_HOLDOUT = "audit"  # the split that only the promotion gate reads


def show(product: str, workspace: Workspace, *, count: int, as_json: bool) -> int:
    """Write the contact sheet of up to `count` images each way and print them, as text or as one JSON object; return 0.

    Raises ZeromissError for an unknown product, a count below 1, a product without scores, or an image that cannot be read.
    """
    if count < 1:
        raise ZeromissError(f"--count {count}: ask for one image or more")
    load_product(workspace.params_file, product)
    found, page = review(product, workspace, count=count), workspace.labels_page(product)
    write_sheet(page, found, workspace.raw(product), masks(product, workspace))
    whole = {"schema_version": SCHEMA_VERSION} | found | {"page": str(page.relative_to(workspace.root))}
    print(json.dumps(whole, indent=2, allow_nan=False) if as_json else render(whole))
    return 0


def record(product: str, workspace: Workspace, settings: Sequence[str], *, by: str | None, why: str | None, as_json: bool) -> int:
    """Record the labels of `settings` (FILE=WORD each), all or none, and say so, as text or as one JSON object; return 0.

    Raises ZeromissError for an unknown product, file or word, a file that is told twice in different words, and a missing name or reason.
    """
    load_product(workspace.params_file, product)
    for option, given, example in (("--by", by, '--by "Ann Lee"'), ("--why", why, '--why "a shadow, no crack"')):
        if given is None or not given.strip():
            raise ZeromissError(f"a label is changed in somebody's name and for a reason: add {option}, as in {example}")
    raw, file = workspace.raw(product), workspace.labels(product)
    entries = read_index(raw)
    words: dict[str, str] = {}
    for setting in settings:
        name, word = _parsed(setting)
        path = labels.find_image(name, raw, entries).path
        if words.setdefault(path, word) != word:
            raise ZeromissError(f"--set says both {words[path]} and {word} of {path}: say one of them")
    before = {change.path: change.label for change in labels.read_changes(file)}
    had = {entry.path: before.get(entry.path, entry.label) for entry in entries}
    new = labels.append_changes(file, words, raw, by=str(by), why=str(why))
    splits = _splits(product, workspace)
    recorded = [{"path": one.path, "before": had[one.path], "label": one.label, "split": splits.get(one.path), "at": one.at} for one in new]
    notes = [_holdout(recorded)] if any(one["split"] == _HOLDOUT for one in recorded) else []
    place = str(file.relative_to(workspace.root))
    if as_json:
        whole = {"schema_version": SCHEMA_VERSION, "product": product, "recorded": recorded, "notes": notes, "file": place}
        print(json.dumps(whole, indent=2))
        return 0
    for one in recorded:
        changed = f"stays {one['label']}, confirmed" if one["before"] == one["label"] else f"{one['before']} -> {one['label']}"
        print(f"{one['path']}: {changed}{' (in the split ' + one['split'] + ')' if one['split'] else ''}")
    print(*(wrap(note) for note in notes), sep="\n", end="\n" if notes else "")
    print(f"recorded in {place}: commit it to git; zeromiss run {product} applies it")
    return 0


def _parsed(setting: str) -> tuple[str, str]:
    """Return file and word of FILE=WORD."""
    name, _, word = setting.rpartition("=")
    if not name.strip() or word not in labels.WORDS:
        raise ZeromissError(f"--set {setting}: write FILE=normal, FILE=defect or FILE=unsure")
    return name, word


def _splits(product: str, workspace: Workspace) -> dict[str, str]:
    """Return the split of each image of the last manifest, nothing before there is one."""
    path = workspace.manifest(product) / manifests.FILE
    if not path.is_file():
        return {}
    rows = read_table(path, schema_version=manifests.SCHEMA_VERSION)
    return dict(zip(rows["path"], rows["split"], strict=True))


def _holdout(recorded: Sequence[dict[str, Any]]) -> str:
    """Return the warning for images of the holdout set."""
    held = [one["path"] for one in recorded if one["split"] == _HOLDOUT]
    some = ", ".join(held[:3]) + (", ..." if len(held) > 3 else "")
    return (
        f"NOTE: {counted(len(held), 'image')} of the holdout set ({some}): models were evaluated on the set with the old label, so figures "
        "before and after this change are not of the same set. Decide by the part, not by what a model said of it."
    )


def render(found: dict[str, Any]) -> str:
    """Return the text of what `review` found, with the `page`."""
    sure, waiting = found["contradicted"], len(found["waiting"])
    lines = [
        wrap(
            f"{found['product']}: {sure['defect']} of {found['n_defects']} defects score like good parts and {sure['normal']} of "
            f"{found['n_normals']} good parts like defects{' in every repeat' if found['repeats'] > 1 else ''} ({price_basis(found)}). "
            f"Class thresholds: normal {found['thresholds']['normal']:.3g}, defect {found['thresholds']['defect']:.3g}."
        )
    ]
    for title, key in (
        ("Defects that score like good parts: rank, score, FPR to catch it, repeats against the label", "defects"),
        ("Good parts that score like defects: rank, score, repeats against the label", "normals"),
    ):
        lines += ["", title, *(_line(one, found["repeats"]) for one in found[key])]
    lines.append("")
    if found["applied"]["sentence"]:
        lines.append(wrap(f"In the present manifest: {found['applied']['sentence']}."))
    if waiting:
        them = "it" if waiting == 1 else "them"
        lines.append(f"Recorded since: {counted(waiting, 'label')}; zeromiss run {found['product']} applies {them}.")
    if found["not_scored"]:
        lines.append(wrap("Without such a score: " + ", ".join(f"{number} {split}" for split, number in found["not_scored"].items()) + "."))
    lines.append(f"Pictures:  {found['page']}")
    lines.append(f"Change one:  zeromiss labels {found['product']} --set FILE=normal|defect|unsure --by NAME --why TEXT")
    return "\n".join(lines)


def _line(one: dict[str, Any], repeats: int) -> str:
    """Return one image's line."""
    spread = "" if one["score_std"] is None else f" SD {one['score_std']:<8.2g}"
    cost = "" if one["fpr"] is None else f"  FPR {percent(one['fpr']):>5} %"
    kind = f" ({one['defect_type']})" if one["defect_type"] not in ("", "defect") else ""
    said = "" if one["said"] is None else f"  [{one['said']['label']}, says {one['said']['by']}]"
    return f"{one['rank']:>4}  score {one['score']:<8.3g}{spread}{cost}  {one['contradicted']} of {repeats}  {one['path']}{kind}{said}"
