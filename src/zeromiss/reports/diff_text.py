"""A comparison of two versions as the terminal shows it, in at most 100 columns."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from zeromiss.lines import LABEL, WIDTH, figure, paragraph, row, section, time, wrap
from zeromiss.reports.diff import KINDS

_SHOWN = 12  # lines of a list: --json has all
_CELL = 16


def render(found: Mapping[str, Any]) -> str:
    """Return the text of what `compare` found."""
    blocks = [
        _heading(found),
        section("Verdicts", _verdicts(found["verdicts"])),
        section("Threshold", _figures(found["threshold"])),
        section("Figures", _figures(found["metrics"])),
        section("Parameters", _params(found["params"])),
        section("Data", _data(found["data"])),
        section("Code", _code(found["code"])),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n" + "=" * WIDTH + "\n"


def _heading(found: Mapping[str, Any]) -> str:
    """Return which versions these are."""
    lines = [row(name, _version(found[name])) for name in ("before", "after")]
    return "\n".join(["=" * WIDTH, f"{found['product']}: what changed", *lines])


def _version(who: Mapping[str, Any]) -> str:
    """Return one version in words."""
    borne = f" ({', '.join(who['aliases'])})" if who["aliases"] else ""
    return f"{who['model']}{borne}, registered {time(who['registered'])}"


def _verdicts(verdicts: Mapping[str, Any]) -> list[str]:
    """Return how many verdicts flip, and the images, defects that are now missed first."""
    if verdicts["note"]:
        return [paragraph(f"not compared: {verdicts['note']}")]
    flips, counts = verdicts["flips"], Counter(flip["kind"] for flip in verdicts["flips"])
    told = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS)
    lines = [paragraph(f"{verdicts['judged']} images of both metric tables, none of an audit set: {len(flips)} flip ({told})")]
    if verdicts["missing"] or verdicts["not_judged"]:
        lines.append(paragraph(f"left out: {verdicts['missing']} whose file is not here as it was, {verdicts['not_judged']} that a model could not judge"))
    lines += [f"  {flip['kind']:<18} {_judged(flip['before'])} -> {_judged(flip['after'])}  {flip['path']}" for flip in flips[:_SHOWN]]
    return [*lines, *_more(flips), f"  pictures: {verdicts['page']}"]


def _judged(judged: Mapping[str, Any]) -> str:
    """Return a score beside its threshold."""
    return f"{judged['score']:.4f} {'>=' if judged['verdict'] == 'abnormal' else '< '} {judged['threshold']:.4f}"


def _figures(rows: list[Mapping[str, Any]]) -> list[str]:
    """Return a line a figure that differs: before, after, difference."""
    changed = [one for one in rows if one["before"] != one["after"]]
    if not changed:
        return [paragraph(f"the same in all {len(rows)} figures" if rows else "none is stored")]
    head = f"  {'':<38}{'before':>{_CELL}}{'after':>{_CELL}}{'difference':>{_CELL}}"
    return [head, *(_line(one) for one in changed)]


def _line(one: Mapping[str, Any]) -> str:
    """Return one figure's line."""
    difference = "" if one["difference"] is None else f"{one['difference']:+.6g}"
    return f"  {one['figure']:<38}{figure(one['before']):>{_CELL}}{figure(one['after']):>{_CELL}}{difference:>{_CELL}}".rstrip()


def _params(params: list[Mapping[str, Any]]) -> list[str]:
    """Return a line a parameter that differs."""
    if not params:
        return [paragraph("the same")]
    absent = "(there was none)"
    return [paragraph(f"{one['key']}: {one['before'] or absent} -> {one['after'] or absent}", 2) for one in params]


def _data(data: Mapping[str, Any]) -> list[str]:
    """Return the data versions and the images that changed."""
    lines = [row("version", f"{data['before']}, the same" if data["before"] == data["after"] else f"{data['before']} -> {data['after']}")]
    if data["note"]:
        return [*lines, paragraph(f"images not compared: {data['note']}")]
    for kind in ("added", "removed"):
        lines.append(row(kind, f"{len(data[kind])} images"))
        lines += [f"  {'':<{LABEL}}{one['path']} ({one['label']}, {one['split']})" for one in data[kind][:_SHOWN]] + _more(data[kind])
    for kind in ("relabelled", "moved"):
        lines.append(row(kind, f"{len(data[kind])} images"))
        lines += [f"  {'':<{LABEL}}{one['path']}: {one['before']} -> {one['after']}" for one in data[kind][:_SHOWN]] + _more(data[kind])
    return lines


def _code(code: Mapping[str, Any]) -> list[str]:
    """Return the commits in between and how many files differ in which room."""
    lines = [row("commits", f"{code['before'][:12]}, the same" if code["before"] == code["after"] else f"{code['before'][:12]} -> {code['after'][:12]}")]
    for when in ("before", "after"):
        if code[f"uncommitted_{when}"]:
            lines.append(row("", f"{when}: with changes besides that were not committed"))
    if code["note"]:
        return [*lines, paragraph(f"not compared: {code['note']}")]
    for key, title in (("commits", "came"), ("undone", "went")):
        if code[key]:
            lines.append(row(title, f"{len(code[key])} commits"))
            lines += [paragraph(f"{one['commit']} {one['subject']}", 4) for one in code[key][:_SHOWN]] + _more(code[key])
    return lines + [row(room, f"{len(files)} {'file differs' if len(files) == 1 else 'files differ'}") for room, files in code["files"].items()]


def _more(entries: list[Any]) -> list[str]:
    """Return how many entries are not shown."""
    return [wrap(f"    ... and {len(entries) - _SHOWN} more: see --json")] if len(entries) > _SHOWN else []
