"""Our figures in the layouts of the papers' own tables, with the published ones below: never in one table with ours.

Ours come from the comparisons of every product that has one; published figures were typed from the papers into
`published.json`, each table with its source. All in per cent.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zeromiss import schemas
from zeromiss.files import read_json
from zeromiss.lines import wrap
from zeromiss.reports.families import NAMES
from zeromiss.reports.systems_text import table
from zeromiss.reports.systems_words import percent, system_title, with_std

LAYOUTS = ("paper1", "poster", "cpcae", "simplenet")
_OURS = {
    "paper1": "Ours: every composite in its own table, STD at 0.5, ZFN at the lowest defect; both optimistic, as in the paper",
    "poster": "Ours: native scores; ACC at the best threshold on these images, ZFN at the lowest defect",
    "cpcae": "Ours: native scores",
    "simplenet": "Ours: image AUROC / pixel AUROC / PRO of the native scores and maps",
}
Comparisons = Sequence[Mapping[str, Any]]


def published() -> dict[str, Any]:
    """Return the figures typed from the papers, by layout."""
    return read_json(Path(__file__).with_name("published.json"), schema_version=schemas.PUBLISHED)


def render_layout(layout: str, contents: Comparisons) -> str:
    """Return a paper's table of our comparisons, and the paper's own below it."""
    ours = {"paper1": _paper1, "poster": _poster, "cpcae": _cpcae, "simplenet": _simplenet}[layout](contents)
    theirs = {"paper1": _paper1_theirs, "poster": _poster_theirs, "cpcae": _cpcae_theirs, "simplenet": _simplenet_theirs}[layout](published())
    return f"{wrap(_OURS[layout])}\n\n{ours}\n\n{theirs}\n"


def _published(typed: Mapping[str, Any]) -> str:
    """Return the title of a table of published figures: where they come from."""
    return wrap(f"Published: {typed['source']}")


def _paper1(contents: Comparisons) -> str:
    rows = []
    for content in contents:
        for name, entry in content["composites"]["systems"].items():
            found = entry["in_table"]
            if entry["kind"] != "native":
                data = f"{content['product']}, {system_title(name, content)} ({NAMES.get(found['winner'], found['winner'])})"
                rows.append([data, percent(found["std_accuracy"], 2), percent(found["zfn_accuracy"], 2)])
    return table("Accuracy (%)", ["data, columns (classifier)", "STD", "ZFN"], rows, name=60, cell=10)


def _paper1_theirs(typed: Mapping[str, Any]) -> str:
    rows = [[f"{row['data']} ({row['classifier']})", f"{row['std']:.2f}", f"{row['zfn']:.2f}"] for row in typed["paper1"]["rows"]]
    return table(_published(typed["paper1"]), ["data (classifier)", "STD", "ZFN"], rows, name=60, cell=10)


def _poster(contents: Comparisons) -> str:
    rows = []
    for content in contents:
        for name, entry in content["detectors"].items():
            keys = ("zfn_accuracy", "std_accuracy", "image_auroc")
            rows.append([content["product"], name, "native", *(with_std(entry, key) for key in keys)])
            rows += [[content["product"], name, score, *(percent(found[key]) for key in keys)] for score, found in entry["scores"].items()]
    return _keyed("ZFN, ACC and AUC (%)", ("data", "system", "score"), ("ZFN", "ACC", "AUC"), rows)


def _poster_theirs(typed: Mapping[str, Any]) -> str:
    rows = [
        [row["data"], system, row["score"], *(f"{mean:.2f} ± {std:.2f}" for mean, std in found.values())]
        for row in typed["poster"]["rows"]
        for system, found in row["systems"].items()
        if found is not None
    ]
    return _keyed(_published(typed["poster"]), ("data", "system", "score"), ("ZFN", "ACC", "AUC"), rows)


def _keyed(title: str, keys: Sequence[str], figures: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose rows have several names."""
    named = [["".join(f"{text:<{width}}" for text, width in zip(row, (20, 18, 14), strict=False)), *row[len(keys) :]] for row in rows]
    return table(title, ["".join(f"{key:<{width}}" for key, width in zip(keys, (20, 18, 14), strict=True)), *figures], named, name=52, cell=16)


def _cpcae(contents: Comparisons) -> str:
    names = list(dict.fromkeys(name for content in contents for name in content["detectors"]))
    rows = []
    for name in names:
        for metric, key in (("AUC", "image_auroc"), ("AP", "average_precision")):
            found = [content["detectors"].get(name) for content in contents]
            rows.append([f"{name:<14} {metric}", *("-" if entry is None else with_std(entry, key) for entry in found)])
        rows += _scores_of(name, contents)
    return table("AUC and AP (%)", ["method", *(content["product"][:12] for content in contents)], rows, name=30, cell=13)


def _scores_of(name: str, contents: Comparisons) -> list[list[str]]:
    """Return rows for a detector's further scores, such as a paper's own baselines."""
    scores = list(dict.fromkeys(score for content in contents for score in content["detectors"].get(name, {"scores": {}})["scores"]))
    found = [[content["detectors"].get(name, {"scores": {}})["scores"].get(score) for content in contents] for score in scores]
    return [
        [f"  {score:<19} {metric}", *("-" if one is None else percent(one[key]) for one in row)]
        for score, row in zip(scores, found, strict=True)
        for metric, key in (("AUC", "image_auroc"), ("AP", "average_precision"))
    ]


def _cpcae_theirs(typed: Mapping[str, Any]) -> str:
    blocks = []
    for key in ("cpcae_zipper", "cpcae"):
        rows = [
            [f"{row['method']:<12} {row['metric']}", *("-" if value is None else f"{value:.2f}" for value in row["values"])]
            for row in typed[key]["rows"]
        ]
        blocks.append(table(_published(typed[key]), ["method", *(name[:8] for name in typed[key]["data"])], rows, name=17, cell=9))
    return "\n\n".join(blocks)


def _simplenet(contents: Comparisons) -> str:
    rows = []
    for content in contents:
        for name, entry in content["detectors"].items():
            rows.append([f"{content['product']:<22} {name}", *(with_std(entry, key) for key in ("image_auroc", "pixel_auroc", "pro"))])
    return table("I-AUROC, P-AUROC and PRO (%)", [f"{'data':<22} detector", "I-AUROC", "P-AUROC", "PRO"], rows, name=40, cell=14)


def _simplenet_theirs(typed: Mapping[str, Any]) -> str:
    found = typed["simplenet"]
    rows = [[row["data"], *("/".join("-" if value is None else f"{value:g}" for value in pair) for pair in row["values"])] for row in found["rows"]]
    return table(_published(found), ["data", *(name[:9] for name in found["systems"])], rows, name=10, cell=10)
