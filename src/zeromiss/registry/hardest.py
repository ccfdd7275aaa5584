"""The hardest defects of a version's training data, as its tag `hardest` names them: what the gate says of a model that alarms on nearly everything."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

TAG = "hardest"
NAMED = 5  # defects


@dataclass(frozen=True, kw_only=True)
class Hardest:
    """A few defects of the metric table that cost the most false alarms, the hardest first, by scores of classifiers that never saw them.

    `fpr`: false-positive rate, in [0, 1], at the threshold that misses no defect; `fpr_without`: the same if those named were not there.
    """

    paths: tuple[str, ...]
    fpr: float
    fpr_without: float

    def sentence(self) -> str:
        """Return which defects they are and what the false-positive rate would be without them."""
        return (
            f"the hardest known defects cost the alarms: without {', '.join(self.paths)} the false-positive rate would be "
            f"{100 * self.fpr_without:.1f} % instead of {100 * self.fpr:.1f} %"
        )


def hardest_tag(summary: Mapping[str, Any]) -> dict[str, str]:
    """Return the tag of a version from the content of summary.json; none where no defect would be left without the hardest."""
    found = (summary.get("composite") or {}).get("hardest")
    named = [one for one in found["defects"][:NAMED] if one["fpr_without"] is not None] if found else []
    if not named:
        return {}
    hardest = Hardest(paths=tuple(one["path"] for one in named), fpr=found["prices"]["0"]["fpr"], fpr_without=named[-1]["fpr_without"])
    return {TAG: json.dumps(asdict(hardest))}


def read_hardest(tags: Mapping[str, str]) -> Hardest | None:
    """Return the hardest defects that a version's tags name, None where they name none."""
    if TAG not in tags:
        return None
    found = json.loads(tags[TAG])
    return Hardest(paths=tuple(found["paths"]), fpr=found["fpr"], fpr_without=found["fpr_without"])
