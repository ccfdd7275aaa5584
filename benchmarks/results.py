"""Collect what a run measured into docs/results/<product>.json; write docs/results.md, and the figures that `zeromiss detectors` shows, from these files.

    python benchmarks/results.py solar_cell pcba     after `zeromiss run` of each
    python benchmarks/results.py                     only write the page anew

Every figure of the page comes from a committed file; a test compares the two.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from zeromiss.detectors.listing import MEASURED
from zeromiss.detectors.listing import SCHEMA_VERSION as MEASURED_VERSION
from zeromiss.files import read_json, write_json
from zeromiss.reports.families import family_rows, percent

SCHEMA_VERSION = 1
Seeds = dict[str, dict[str, dict[str, Any]]]  # study -> seed -> figures
_RATES = (("FNR", "fnr"), ("FPR", "fpr"), ("accuracy", "accuracy"))
ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = ROOT / "docs" / "results", ROOT / "docs" / "results.md"
SEEDS = RESULTS / "seeds.json"
_HEAD = """\
# What was measured

Written by `benchmarks/results.py` from the files in `docs/results/`, which hold what `make run` left behind on two
cores without a GPU, the `quick` profile as committed. The table of families follows the paper's protocol: family,
settings and threshold were chosen on the same images on which they are judged, so that it describes and does not
forecast. Two lines do: *outer folds* (the whole choice made again without the images that are judged; means and
95 % intervals) and *audit set* (images that nothing was tuned on). Seconds are those of a shared machine and say little
more than their order of magnitude. [systems_results.md](systems_results.md) holds all ten detectors and their stacks on solar
cells, boards, and each of eleven papers of paper impurities.

The *shortcut check* has a point on the solar cells: in the nine pairs of typical images that the report shows for its three
findings, every normal cell has dashed bus bars and every defective one has solid ones. Many of this public data set's normal
and defective cells seem to come from different kinds of modules, so that part of any AUROC on it may be told by the
module. The outer folds and the audit set are drawn from the same cells and cannot show that.
"""

_SEEDS = """\
## Over several seeds

Each seed splits the images anew, trains anew and searches anew (`benchmarks/seeds.py`, the `quick` profile). Mean ± standard
deviation over seeds. The composite's figures are those of the outer folds, with the threshold from their inner parts: FPR and
FNR are what a new image meets. PG5 is the share of good parts that pass when 5 % of the defects are missed. Solar cells and boards are of the
profile as it is; references and papers of the choice among `lr`, `lda` and `nnlr` by `partial_auc`, which it had before.
"""
_STUDIES = {"solar_cell": "solar cells", "pcba": "drawn boards", "pcba_references": "drawn boards, three layouts with references", "papers": "eleven papers in one table"}


def collect(product: str, root: Path = ROOT) -> dict[str, Any]:
    """Return what the last run of `product` measured, from the files it left in the workspace `root`."""
    data = root / "data"
    promotion = _read(root / "mlruns" / "promotion" / f"{product}.json")
    kept = ("outcome", "missed", "n_defects", "n_normals", "false_positive_rate", "miss_rate_bound", "chance_of_refusal")
    return {
        "summary": _read(data / "07_bundle" / product / "summary.json"),
        "training": _read(data / "03_detectors" / product / "vqgan" / "training.json"),
        "families": _read(data / "05_selection" / product / "families.json"),
        "promotion": {key: promotion[key] for key in kept},
        "shortcuts": _read(data / "02_manifest" / product / "shortcuts.json")["sentence"],
    }


def page(results: dict[str, dict[str, Any]], seeds: Seeds) -> str:
    """Return docs/results.md for the given products' results and the figures of their studies over seeds."""
    return "\n".join([_HEAD, _over_seeds(seeds), *(_product(name, result) for name, result in results.items())])


def read_results() -> dict[str, dict[str, Any]]:
    """Return every committed result of a product, by its name; other studies lie beside them."""
    found = {path.stem: _read(path) for path in sorted(RESULTS.glob("*.json"), reverse=True)}
    return {name: result for name, result in found.items() if "summary" in result}


def read_seeds() -> Seeds:
    """Return what `benchmarks/seeds.py` measured: study -> seed -> figures."""
    return read_json(SEEDS, schema_version=SCHEMA_VERSION)["studies"]


def _over_seeds(seeds: Seeds) -> str:
    """Return the section of figures over seeds: mean and standard deviation of each study."""
    lines = [_SEEDS, "| images | seeds | each detector alone: AUROC; FPR at zero missed | composite: AUROC | FPR | FNR | PG5 |", "|---|" + "---|" * 6]
    for study, found in seeds.items():
        runs = list(found.values())
        alone = "; ".join(
            f"{name} {_spread([run['native'][name]['image_auroc'] for run in runs])}; {_spread([run['native'][name]['fpr_at_zero_missed'] for run in runs])}"
            for name in runs[0]["native"]
        )
        figures = (_spread([run[key] for run in runs]) for key in ("auroc", "fpr", "fnr"))
        lines.append(f"| {_STUDIES.get(study, study)} | {len(runs)} | {alone} | {' | '.join(figures)} | {_spread([run['passed']['PG5'] for run in runs])} |")
    return "\n".join(lines) + "\n"


def _spread(values: list[float]) -> str:
    """Return mean and standard deviation, the latter where there are several."""
    mean = statistics.mean(values)
    return f"{mean:.3f} ± {statistics.stdev(values):.3f}" if len(values) > 1 else f"{mean:.3f}"


def _product(name: str, result: dict[str, Any]) -> str:
    summary, training, gate = result["summary"], result["training"], result["promotion"]
    composite, threshold = summary["composite"], summary["threshold"]
    seconds = summary["seconds"]
    lines = [
        ("normals that train the network", summary["n_train_normal"]),
        ("metric table", f"{summary['n_normal']} normals, {summary['n_defects']} defects"),
        ("PSNR on unseen normals", f"{training['psnr_unseen_normal']:.1f} dB"),
        ("codes in use, perplexity", f"{percent(training['codes_used'])} %, {training['perplexity']:.0f}"),
        *((f"{name} alone: image AUROC, FPR at zero missed", _native(figures)) for name, figures in summary["detectors"].items()),
        ("composite: image AUROC, FPR at zero missed", f"{composite['image_auroc']:.3f}, {percent(composite['paper']['zfn']['fpr'])} % ({composite['family']})"),
        *((f"{name} alone: pixel AUROC, PRO", _pixels(figures)) for name, figures in summary["detectors"].items()),
        ("good parts passed at 0, 2, 5 % missed (95 % intervals)", _passed(composite)),
        ("FPR without the k hardest defects", _price(composite)),
        ("shortcut check", result["shortcuts"]),
        ("threshold", f"{threshold['value']:.4f} ({threshold['rule']}, {threshold['n_candidates']} candidates)"),
        ("miss rate bound, 95 %", f"{percent(threshold['miss_rate_bound_95'])} % ({threshold['bound_is']})"),
        ("outer folds", _honest(composite["honest"])),
        ("audit set", _audit(gate)),
        ("seconds: train, extract, select", f"{seconds['train']:.0f}, {seconds['extract']:.0f}, {seconds['select']:.0f}"),
        ("seconds: inspection of one image", f"{seconds['inspect_per_image']:.2f}"),
    ]
    rows = "\n".join(f"| {what} | {value} |" for what, value in lines)
    return f"## {name}\n\n| what | measured |\n|---|---|\n{rows}\n\n{_families(result['families'])}\n"


def _native(figures: dict[str, Any]) -> str:
    return f"{figures['image_auroc']:.3f}, {percent(figures['fpr_at_zero_missed'])} %"


def _passed(composite: dict[str, Any]) -> str:
    if "passed" not in composite:
        return "not measured"
    return ", ".join(f"{name} {percent(one['mean'])} % [{percent(one['low'])}, {percent(one['high'])}]" for name, one in composite["passed"].items())


def _price(composite: dict[str, Any]) -> str:
    if "hardest" not in composite:
        return "not measured"
    return ", ".join(f"{k}: {percent(one['fpr'])} %" for k, one in composite["hardest"]["prices"].items())


def _pixels(detector: dict[str, Any]) -> str:
    if detector["pixel_auroc"] is None:
        return "no masks"
    return f"{detector['pixel_auroc']:.3f}, {detector['pro']:.3f}"


def _honest(honest: dict[str, Any]) -> str:
    rates = (f"{name} {percent(honest[key]['mean'])} % [{percent(honest[key]['low'])}, {percent(honest[key]['high'])}]" for name, key in _RATES)
    return f"{', '.join(rates)}; {honest['missed']} of {honest['defects']} verdicts on defects wrong in {honest['repeats']} x {honest['folds']} folds"


def _audit(gate: dict[str, Any]) -> str:
    missed = f"{gate['outcome']}; {gate['missed']} of {gate['n_defects']} defects missed"
    alarms = f"{percent(gate['false_positive_rate'])} % of {gate['n_normals']} normals raise a false alarm"
    bound = gate["miss_rate_bound"]
    stated = "" if bound is None else f"; true miss rate below {percent(bound)} % with 95 % confidence (valid)"
    return f"{missed}, {alarms}{stated}"


def _families(families: dict[str, Any]) -> str:
    head = "| classifier | accuracy STD | ZFN | precision STD | ZFN | FPR STD | ZFN | FNR STD | ZFN |\n|---|" + "---|" * 8
    return "\n".join([head, *(_row(row) for row in family_rows(families))])


def _row(row: Any) -> str:
    if row.error:
        return f"| {row.name} | failed: {row.error} |" + " |" * 7
    cells = [percent(kind[figure]) for figure in ("accuracy", "precision", "fpr", "fnr") for kind in (row.std, row.zfn)]
    return f"| {row.name}{' (winner)' if row.winner else ''} | " + " | ".join(cells) + " |"


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


SETS = {  # of docs/results/systems.json, and of the studies whose newer figures replace those of their detectors
    "solar_cell": ("solar cells", "205 normal images and 219 to 250 defects, 256 pixels, no masks"),
    "pcba": ("drawn boards", "102 normal images and 122 to 139 defects, 384 pixels"),
    "papers_all": ("eleven papers", "255 normal images and 475 defects of eleven kinds in one table, 128 pixels"),
}


def measured(seeds: Seeds, systems: dict[str, Any]) -> dict[str, Any]:
    """Return what `zeromiss detectors` shows of native scores: by detector and set, means over seeds where there are any."""
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for name in SETS:
        runs = [run["native"] for run in seeds.get(name.removesuffix("_all"), {}).values()]
        keys = ("image_auroc", "fpr_at_zero_missed")
        newer = {detector: {key: statistics.mean(run[detector][key] for run in runs) for key in keys} for detector in (runs[0] if runs else ())}
        for detector, found in {**systems["products"][name]["detectors"], **newer}.items():
            figures.setdefault(detector, {})[name] = {key: found[key] for key in keys}
    return {"sets": {name: {"short": short, "title": title} for name, (short, title) in SETS.items()}, "figures": figures}


def main(products: list[str]) -> None:
    """Collect the named products' results and write the page."""
    for product in products:
        write_json(RESULTS / f"{product}.json", collect(product), schema_version=SCHEMA_VERSION)
    PAGE.write_text(page(read_results(), read_seeds()), encoding="utf-8")
    write_json(MEASURED, measured(read_seeds(), _read(RESULTS / "systems.json")), schema_version=MEASURED_VERSION)


if __name__ == "__main__":
    main(sys.argv[1:])
