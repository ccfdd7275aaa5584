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


PAPERS = {
    "paper 1": "Bougaham et al., Composite Score for Anomaly Detection in Imbalanced Real-World Industrial Dataset",
    "paper 2": "Bougaham et al., GanoDIP - GAN Anomaly Detection through Intermediate Patches: a PCBA Manufacturing Case",
    "paper 3": "Bougaham et al., Generative Models and Quality Constraints for Anomaly Detection (poster)",
    "paper 4": "Saeedi and Giusti, Anomaly Detection for Industrial Inspection using Convolutional Autoencoder and Deep Feature-based One-class Classification",
    "paper 5": "Andrijauskas et al., Anomaly Detection (project report on SimpleNet and EfficientAD, University of Southern Denmark)",
}
CATALOGUE: dict[str, System] = {
    "vqgan": System(
        title="VQGanoDIP",
        source="paper 1, section 3",
        kind="redraws",
        needs="normal images",
        cost="4 minutes",
    ),
    "ganodip": System(
        title="GanoDIP",
        source="paper 2, section 5",
        kind="redraws",
        needs="normal images",
        cost="2 minutes",
    ),
    "f_anogan": System(
        title="f-AnoGAN",
        source="paper 2, section 5.1",
        kind="redraws",
        needs="normal images",
        cost="2 minutes",
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
        cost="1 minute",
    ),
    "simplenet": System(
        title="SimpleNet",
        source="paper 5, section 3.1",
        kind="embeds",
        needs="normal images, few are enough",
        cost="1 minute",
    ),
    "patchknn": System(
        title="Whitened patch neighbours",
        source="PaDiM's features (arXiv:2011.08785) and PatchCore's distance (arXiv:2106.08265), whitened",
        kind="embeds",
        needs="at least 2 normal images, 20 for the Gaussian a place",
        cost="1 minute",
    ),
    "reference": System(
        title="Image against its reference",
        source="differences of features from a golden sample or CAD rendering, whitened",
        kind="embeds",
        needs="a reference of every image (column reference), at least 2 normal images, 20 for the Gaussian a place",
        cost="1 minute",
    ),
    "padim": System(
        title="PaDiM",
        source="Defard et al., arXiv:2011.08785, through anomalib",
        kind="embeds",
        needs="at least 2 normal images that lie alike, and pip install 'zeromiss[peers]'",
        cost="1 minute",
    ),
    "patchcore": System(
        title="PatchCore",
        source="Roth et al., arXiv:2106.08265, through anomalib",
        kind="embeds",
        needs="normal images, and pip install 'zeromiss[peers]'",
        cost="2 minutes",
    ),
    "efficientad": System(
        title="EfficientAD",
        source="paper 5, its comparison; arXiv:2303.14535, through anomalib",
        kind="embeds",
        needs="at least 2 normal images, and pip install 'zeromiss[peers]'",
        cost="4 minutes",
    ),
    "ganomaly": System(
        title="GANomaly",
        source="paper 3, its table; arXiv:1805.06725, through anomalib",
        kind="redraws",
        needs="normal images, and pip install 'zeromiss[peers]'",
        cost="3 minutes",
    ),
}
