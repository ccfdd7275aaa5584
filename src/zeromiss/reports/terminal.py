"""The last words of a run: what the terminal shows, in at most 100 columns of plain text."""

import textwrap
from typing import Any

from zeromiss.lines import WIDTH, wrap
from zeromiss.registry.promotion import WAITS
from zeromiss.reports import curves_text
from zeromiss.reports.families import FIGURES, HEADINGS, FamilyRow, family_rows, percent
from zeromiss.reports.words import interval, near_duplicates, price_basis, whole

_NAME, _CELL, _GAP = 12, 8, "  "
_IMAGES = 8  # images named that decided a refusal


def render(
    *,
    summary: dict[str, Any],
    families: dict[str, Any],
    statement: str,
    shortcuts: dict[str, Any] | None,
    promotion: dict[str, Any] | None,
    inspected: dict[str, Any] | None,
    report: str | None,
    tracking: str,
) -> str:
    """Return the text that ends a run.

    summary: content of summary.json; families: of families.json; statement: the threshold's, from bundle.json;
    shortcuts: of shortcuts.json, None in runs made before. report: path of the page, None where none was made.
    promotion: `model` (name and version) with the gate's `promoted`, `statement`, `images` and `advice`, or None where
    the gate was not asked. inspected: `images`, `abnormal`, `normal`, `errors` (counts), `model`, `folder`, or None.
    tracking: the command that opens the tracking server's page.
    """
    blocks = [
        _heading(summary),
        families_table(families),
        _composite(summary),
        _threshold(summary["threshold"], statement),
        _honest(summary["composite"].get("honest")),
        "\n".join(wrap(sentence, hanging=2) for sentence in curves_text.sentences(summary)),
        _near_duplicates(summary["composite"].get("near_duplicates")),
        _hardest(summary["composite"]["hardest"], summary["product"]),
        _shortcuts(shortcuts),
        _promotion(promotion),
        _inspected(inspected),
        _places(report, tracking),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def families_table(families: dict[str, Any]) -> str:
    """Return the table of families, figures in per cent, in the layout of paper 1's Table 1."""
    head = " " * _NAME + "".join(_GAP + f"{heading + ' (%)':^{2 * _CELL}}" for heading in HEADINGS)
    kinds = f"{'Classifier':<{_NAME}}" + "".join(_GAP + f"{'STD':>{_CELL}}{'ZFN':>{_CELL}}" for _ in HEADINGS)
    lines = [head.rstrip(), kinds, "-" * len(kinds)]
    for row in family_rows(families):
        lines.append(_line(row))
    lines.append("* the winner: highest accuracy under zero false negatives (ZFN); STD is at the threshold 0.5")
    return "\n".join(lines)


def _line(row: FamilyRow) -> str:
    """Return one family's line."""
    name = f"{('* ' if row.winner else '  ') + row.name:<{_NAME}}"
    if row.error:
        reason = textwrap.shorten(row.error, WIDTH - _NAME - len("  failed: "), placeholder=" ...")
        return f"{name}  failed: {reason}"
    cells = (
        _GAP + f"{percent(row.std.get(figure)):>{_CELL}}{percent(row.zfn.get(figure)):>{_CELL}}" for figure in FIGURES
    )
    return name + "".join(cells)


def _heading(summary: dict[str, Any]) -> str:
    """Return product and counts."""
    text = (
        f"{summary['product']}: the network learned from {summary['n_train_normal']} normal images; "
        f"the table below rests on {summary['n_normal']} normal and {summary['n_defects']} defect images."
    )
    return "=" * WIDTH + "\n" + wrap(text)


def _composite(summary: dict[str, Any]) -> str:
    """Return image AUROC of the composite score and of each detector alone."""
    composite = summary["composite"]
    alone = "; ".join(
        f"{name} alone {figures['image_auroc']:.4f}, its FPR with no miss {percent(figures['fpr_at_zero_missed'])} %"
        for name, figures in summary["detectors"].items()
    )
    return wrap(f"Image AUROC: composite score {composite['image_auroc']:.4f}; {alone}.")


def _threshold(threshold: dict[str, Any], statement: str) -> str:
    """Return the threshold with its bounds and what they are worth."""
    facts = (
        f"Threshold: {threshold['value']:.6g} (rule {threshold['rule']}, from {threshold['n_defects']} defects, "
        f"{threshold['n_candidates']} candidates compared). Bounds, {threshold['bound_is']}, by {threshold['defects_behind']} defective parts: "
        f"miss rate {percent(threshold['miss_rate_bound_95'])} % at 95 % confidence; next defect missed with probability "
        f"{percent(threshold['next_defect_miss_bound'])} %."
    )
    return wrap(facts) + "\n" + wrap(statement)


def _honest(honest: dict[str, Any] | None) -> str:
    """Return what outer folds found; nothing where they were left out."""
    if honest is None:
        return ""
    return wrap(
        f"Honest protocol, {honest['repeats']} x {honest['folds']} outer folds: FNR {interval(honest['fnr'])}, FPR {interval(honest['fpr'])}; "
        f"{honest['missed']} of {honest['defects']} defects missed."
    )


def _near_duplicates(figures: dict[str, Any] | None) -> str:
    """Return what near-duplicates do to the figures; nothing where the table has none."""
    return "" if figures is None else wrap(near_duplicates(figures))


def _hardest(hardest: dict[str, Any], product: str) -> str:
    """Return how the false-positive rate falls when the hardest defects are not there."""
    prices = hardest["prices"]
    lines = [
        wrap(f"False alarms if the k hardest of {hardest['n_defects']} defects were not there ({price_basis(hardest)}):"),
        f"{'  k':<{_NAME}}" + "".join(f"{k:>{_CELL}}" for k in prices),
        f"{'  FPR (%)':<{_NAME}}" + "".join(f"{percent(one['fpr']):>{_CELL}}" for one in prices.values()),
    ]
    if hardest["repeats"] > 1:
        lines.append(f"{'  SD':<{_NAME}}" + "".join(f"{percent(one['std']):>{_CELL}}" for one in prices.values()))
    return "\n".join([*lines, f"See whether their labels are right: zeromiss labels {product}"])


def _shortcuts(shortcuts: dict[str, Any] | None) -> str:
    """Return the warning of the shortcut check where it found one."""
    if not shortcuts or not shortcuts["findings"]:
        return ""
    return wrap("WARNING, shortcut: " + whole(shortcuts["sentence"]))


def _promotion(promotion: dict[str, Any] | None) -> str:
    """Return what the gate decided, which images decided it, and what an engineer can do."""
    if promotion is None:
        return ""
    outcome = "is champion now" if promotion["promoted"] else "was refused and stays challenger"
    if promotion.get("outcome") == WAITS:
        outcome = "waits for a person's approval (zeromiss promote)"
    audit = promotion.get("audit_sentence", "")
    why = audit if promotion["promoted"] and audit else f"{whole(promotion['statement'])} {audit}".rstrip()
    lines = [wrap(f"Promotion: {promotion['model']} {outcome}. {why}")]
    images = promotion.get("images", ())
    lines += [f"  {_image(image)}" for image in images[:_IMAGES]]
    if len(images) > _IMAGES:
        lines.append(f"  and {len(images) - _IMAGES} more")
    lines += [textwrap.fill(f"- {text}", WIDTH, initial_indent="  ", subsequent_indent="    ") for text in promotion.get("advice", ())]
    return "\n".join(lines)


def _image(image: dict[str, Any]) -> str:
    """Return one image that decided a refusal."""
    score = "no score" if image["score"] is None else f"score {image['score']:.6g}, threshold {image['threshold']:.6g}"
    return f"{image['why']}: {image['path']} ({score})"


def _inspected(inspected: dict[str, Any] | None) -> str:
    """Return how the new images were judged."""
    if inspected is None:
        return ""
    text = (
        f"Inspection: {inspected['model']} judged {inspected['images']} new images: {inspected['abnormal']} abnormal, "
        f"{inspected['normal']} normal, {inspected['errors']} that could not be judged."
    )
    return wrap(text) + f"\n  {inspected['folder']}"


def _places(report: str | None, tracking: str) -> str:
    """Return where to read on; paths are never broken over two lines."""
    return (f"Report:  {report}\n" if report else "") + f"Tracking page:  {tracking}\n" + "=" * WIDTH
