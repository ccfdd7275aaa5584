"""What a check found, in sentences: for the page, the terminal and the event."""

from typing import Any

from zeromiss.reports.families import percent

_SHOWN = 3


def sentences(found: dict[str, Any]) -> list[str]:
    """Return a check as a few sentences, the call for retraining first."""
    return [headline(found), drift(found), abnormal(found), alarms(found), missed(found)]


def headline(found: dict[str, Any]) -> str:
    """Say whether anything calls for retraining."""
    if not found["reasons"]:
        return f"{found['product']}: version {found['version']} works on images like those it was chosen on."
    words = {"drift": "the images have drifted", "false alarms": "false alarms are too frequent", "missed": "a defect was missed"}
    return f"{found['product']}: version {found['version']} should be trained anew: {', and '.join(words[one] for one in found['reasons'])}."


def drift(found: dict[str, Any]) -> str:
    """Say how far the window's metrics lie from the table's."""
    one = found["drift"]
    if one is None:
        return f"Drift: {found['no_drift_because']}."
    beyond = [metric["metric"] for metric in one["metrics"] if metric["corrected_p"] <= found["false_alarm"]]
    text = (
        f"Drift: {one['images']} images of {found['since']} to {found['until']} lie {one['mean']:.3g} from the table's {one['table_images']} normal ones in the mean of "
        f"{len(one['metrics'])} metrics (limit {one['mean_limit']:.3g}); p = {one['p']:.3g} overall, told at {found['false_alarm']:g}; PSI {one['psi']:.3g} (limit {one['psi_limit']:.3g})"
    )
    if not beyond:
        return f"{text}. No metric is beyond chance."
    rest = f" and {len(beyond) - _SHOWN} more" if len(beyond) > _SHOWN else ""
    return f"{text}. Beyond chance: {', '.join(beyond[:_SHOWN])}{rest}."


def abnormal(found: dict[str, Any]) -> str:
    """Say what share was called abnormal."""
    return f"Abnormal verdicts: {_share(found['abnormal'])}."


def alarms(found: dict[str, Any]) -> str:
    """Say how many alarms were false, as far as people judged them."""
    expected = f"{percent(found['expected_fpr'])} % was {found['expected_from']}" if found["expected_from"].startswith("forecast") else f"{percent(found['expected_fpr'])} % {found['expected_from']}"
    if found["fpr"] is None:
        return f"False alarms: nobody judged an alarm yet ({expected})."
    return (
        f"False alarms: {found['judged_alarms']} of {found['abnormal']['count']} alarms were judged; of good parts {_share(found['fpr'])} were called abnormal "
        f"({expected}; told from {percent(found['fpr_limit'])} % on)."
    )


def missed(found: dict[str, Any]) -> str:
    """Say how many defects were called normal."""
    number = len(found["missed"])
    if not number:
        return "Missed defects: none is known."
    return f"Missed defects: {number} image{'s' if number > 1 else ''} called normal by this version {'are defects' if number > 1 else 'is a defect'}, as someone judged later."


def _share(share: dict[str, Any]) -> str:
    """Return a share with its counts and interval."""
    return f"{percent(share['share'])} % ({share['count']} of {share['of']}; 95 % interval {percent(share['low'])} to {percent(share['high'])} %)"
