"""An audit as the terminal shows it: short sections, in at most 100 columns."""

from collections.abc import Iterable, Mapping
from typing import Any

from zeromiss.lines import LABEL, WIDTH, figure, flat, paragraph, row, seconds, section, time, wrap

_SHOWN = 10  # events of a kind that are shown, the latest; --json has all
_HASH = 40  # characters from which on a fact is a hash
_GAP = "not stored (registered by an older version of this program)"


def render(found: Mapping[str, Any]) -> str:
    """Return the text of what `audit` found."""
    blocks = [
        _heading(found),
        section("Origin", _origin(found)),
        section("Data", _data(found["data"])),
        section("Parameters", _params(found["params"])),
        section("Runs", _stages(found["stages"])),
        section("Figures", _metrics(found["metrics"])),
        section("Threshold", _threshold(found["threshold"])),
        section("Gate", _gate(found["gate"])),
        section("Aliases of the product", _history(found["history"])),
        section("Rebuilt", [line for one in found["rebuilds"] for line in _event(one)]),
        section(f"Bundle  {found['bundle']['sha256'] or 'without a stored hash'}", _files(found["bundle"]["files"])),
        section("Compared", _checks(found["checks"])),
        _verdict(found),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _heading(found: Mapping[str, Any]) -> str:
    """Return which version this is."""
    borne = f" ({', '.join(found['aliases'])})" if found["aliases"] else " (no alias)"
    return "=" * WIDTH + f"\n{found['model']}{borne}"


def _origin(found: Mapping[str, Any]) -> list[str]:
    """Return who, when, from which commit, and whether the source is stored."""
    registered, git, source = found["registered"], found["git"], found["source"]
    by = f"{registered['by']} on {registered['host']}" if registered["by"] else _GAP
    tree = {True: ", with changes that were not committed", False: ", clean", None: ""}[git["dirty"]]
    here = "" if git["here"] or not git["commit"] else " (this repository does not have it)"
    complete = {True: "stored: it can be made again from it", False: f"incomplete: {source['missing']}", None: _GAP}[source["complete"]]
    kept = [f"files: {', '.join(source['files'])}"] if source["files"] else []
    rows = [
        row("registered", time(registered["at"])),
        row("by", by),
        row("run", f"{registered['run_id']}" + (f", under {registered['parent_run_id']}" if registered["parent_run_id"] else "")),
        row("commit", f"{git['commit'] or 'none'}{tree}{here}"),
        row("source", complete),
    ]
    return rows + [row("", line) for line in kept]


def _data(data: Mapping[str, Any]) -> list[str]:
    """Return the data version and the counts by split and label."""
    lines = [row("DVC", data["md5"] or "no version")]
    if not data["counts"]:
        return [*lines, row("images", "not stored"), *_label_changes(data["labels"])]
    each = "; ".join(f"{split} " + _labels(of) for split, of in data["counts"].items())
    return [*lines, row("images", f"{data['images']}: {each} (from {data['counts_from']})"), *_label_changes(data["labels"])]


def _label_changes(labels: Mapping[str, Any] | None) -> list[str]:
    """Return how many labels people changed, and a line for each of the latest that are not mere confirmations."""
    if labels is None:
        return [row("labels", _GAP)]
    changes = sorted((*labels["changed"], *labels["unsure"]), key=lambda one: one["at"])
    lines = [row("labels", labels["sentence"] or "as the raw images came: nobody changed one")]
    if len(changes) > _SHOWN:
        lines.append(row("", f"... {len(changes) - _SHOWN} earlier ones: see --json"))
    return lines + [
        row("", f"{one['path']}: {one['before']} -> {one['label']}, {one['by']}, {time(one['at'])}: {one['why']}") for one in changes[-_SHOWN:]
    ]


def _labels(of: Mapping[str, int]) -> str:
    """Return the counts of one split."""
    return " + ".join(f"{number} {label}" for label, number in sorted(of.items(), reverse=True) if number)


def _params(params: Mapping[str, str]) -> list[str]:
    """Return the parameters, one paragraph a section."""
    sections: dict[str, list[str]] = {}
    for key, value in params.items():
        group, _, name = key.rpartition(".")
        sections.setdefault(group or "product", []).append(f"{name} {value}")
    return [row(group, ", ".join(values)) for group, values in sections.items()]


def _stages(stages: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a line a stage's run."""
    return [
        f"  {one['stage']:<{LABEL}}{one['run_id']}  {one['status'] or 'GONE':<9} {time(one['started']):<20} {seconds(one['seconds'])}"
        for one in stages
    ]


def _metrics(metrics: Mapping[str, Any]) -> list[str]:
    """Return every figure of summary.json, one paragraph a group."""
    groups: dict[str, list[str]] = {}
    figures = {key: value for key, value in flat(metrics).items() if not isinstance(value, list)}  # lists of images: --json has them
    for key, value in figures.items():
        group, _, name = key.rpartition(".")
        groups.setdefault(group, []).append(f"{name} {figure(value)}")
    return [line for group, values in groups.items() for line in (f"  {group}", paragraph(", ".join(values), 4))]


def _threshold(threshold: Mapping[str, Any]) -> list[str]:
    """Return the threshold, its figures and what it guarantees."""
    words = [threshold[key] for key in ("statement", "guarantee", "assumption") if threshold.get(key)]
    figures = {key: value for key, value in threshold.items() if key not in ("statement", "guarantee", "assumption")}
    rows = [paragraph(", ".join(f"{key} {figure(value)}" for key, value in flat(figures).items()))] if figures else []
    return rows + [paragraph(sentence) for sentence in dict.fromkeys(words)]


def _gate(gate: Mapping[str, Any]) -> list[str]:
    """Return the decision, its criteria, and how often the audit set was opened."""
    if gate["outcome"] is None:
        lines = [paragraph("it has not decided about this version")]
    else:
        lines = [row(gate["outcome"], f"{time(gate['at'])}: {gate['statement']}")]
    for criterion in (gate["record"] or {}).get("criteria", ()):
        lines.append(row("", f"{'met' if criterion['passed'] else 'NOT MET'}: {criterion['sentence']}"))
    sentence = (gate["record"] or {}).get("audit_sentence")
    lines += [row("", sentence)] if sentence else []
    opened = gate["openings"]
    count = {0: "no opening is recorded", 1: "opened once"}.get(len(opened), f"opened {len(opened)} times")
    return [*lines, row("audit set", count), *_latest(opened)]


def _history(history: Mapping[str, Any]) -> list[str]:
    """Return every recorded move of an alias."""
    if history["begins"] is None:
        return [paragraph("no move is recorded: an older version of this program moved them without a history")]
    return [paragraph(f"the history begins at {time(history['begins'])}"), *_latest(history["moves"])]


def _latest(events: list[Mapping[str, Any]]) -> list[str]:
    """Return the latest events, and how many there are before."""
    earlier = [paragraph(f"... {len(events) - _SHOWN} earlier ones: see --json")] if len(events) > _SHOWN else []
    return earlier + [line for one in events[-_SHOWN:] for line in _event(one)]


def _event(event: Mapping[str, Any]) -> list[str]:
    """Return one event with its facts, hashes shortened: --json has them whole."""
    by = f"{event['who']} on {event['host']}"
    if "alias" in event:
        gone = event["version"] == "none"
        moved = f"taken from version {event['before']}" if gone else f"to version {event['version']} (before: {event['before']})"
        told = f"{event['alias']} {moved}, because {event['why']}"
    elif "sentence" in event:
        told = f"{event['outcome']}: {event['sentence']}"
    else:
        facts = {key: value for key, value in event.items() if key not in ("at", "who", "host")}
        told = ", ".join(f"{key} {value if len(value) < _HASH else value[:12]}" for key, value in facts.items())
    return [paragraph(f"{time(event['at'])}  {told}; {by}")]


def _files(files: Mapping[str, str]) -> list[str]:
    """Return a line a file of the bundle."""
    return [f"  {digest}  {name}" for name, digest in files.items()]


def _checks(checks: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a line a check, with what differs below it."""
    lines = []
    for check in checks:
        said = [check["state"] if check["state"] != "intact" else f"intact, {check['compared']} compared", check["note"]]
        lines.append(row(check["what"], ": ".join(filter(None, said))))
        lines += [row("", f"! {finding['sentence']}") for finding in check["findings"]]
    return lines


def _verdict(found: Mapping[str, Any]) -> str:
    """Return the last line: intact, or what is not."""
    rule = "=" * WIDTH
    if not found["intact"]:
        names = [f"{check['what']}: {finding['name']}" for check in found["checks"] for finding in check["findings"]]
        text = f"NOT INTACT. {len(names)} {'thing does' if len(names) == 1 else 'things do'} not match: {'; '.join(names)}"
        return f"{wrap(text)}\n{rule}"
    gaps = [check["what"] for check in found["checks"] if check["state"] == "not stored"]
    rest = f" Not stored, so not compared: {', '.join(gaps)}." if gaps else ""
    return wrap(f"INTACT: everything that is stored of {found['model']} matches.{rest}") + f"\n{rule}"
