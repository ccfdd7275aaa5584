"""What detectors there are: where each comes from, what it needs and what it costs; nothing heavy is imported here."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class System:
    """One detector as `zeromiss detectors` lists it."""

    title: str
    source: str  # paper and section
    kind: Literal["redraws", "embeds"]  # gives a reconstruction and the full metric set, or a score and a map
    needs: str
    cost: str  # of fitting on some 300 images of 256 pixels with the profile quick, on two cores


CATALOGUE: dict[str, System] = {
    "vqgan": System(
        title="VQGanoDIP",
        source="paper 1, section 3",
        kind="redraws",
        needs="normal images",
        cost="6 minutes",
    ),
    "cyclegan": System(
        title="CycleGAN-AD",
        source="paper 3",
        kind="redraws",
        needs="normal and abnormal images (manifest.abnormal)",
        cost="3 minutes",
    ),
    "cpcae": System(
        title="CPCAE + deep-feature kNN",
        source="paper 4, section 3",
        kind="redraws",
        needs="at least 15 normal images",
        cost="2 minutes",
    ),
    "simplenet": System(
        title="SimpleNet",
        source="paper 5, section 3.1",
        kind="embeds",
        needs="normal images, few are enough",
        cost="3 minutes",
    ),
}
