"""Where everything lies: the repository a command runs in, and the paths of one product."""

from dataclasses import dataclass
from pathlib import Path

from zeromiss.errors import ZeromissError


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """A repository with `dvc.yaml` and `params.yaml`; every path below it, and nothing else."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> "Workspace":
        """Return the workspace that `start` (default: the current folder) lies in.

        Raises ZeromissError when no folder upwards holds `params.yaml` and `dvc.yaml`.
        """
        here = (start or Path.cwd()).resolve()
        for folder in (here, *here.parents):
            if (folder / "params.yaml").is_file() and (folder / "dvc.yaml").is_file():
                return cls(root=folder)
        raise ZeromissError(
            f"no params.yaml with a dvc.yaml in {here} or above it: run zeromiss inside its repository"
        )

    @property
    def params_file(self) -> Path:
        """The parameters of all products."""
        return self.root / "params.yaml"

    @property
    def fits_file(self) -> Path:
        """The products of each detector, for the loops of dvc.yaml; follows the parameters."""
        return self.root / "data" / "detectors.yaml"

    @property
    def checkpoints(self) -> Path:
        """Resume checkpoints: outside every DVC output, which DVC deletes before a stage runs."""
        return self.root / ".checkpoints"

    def incoming(self, product: str) -> Path:
        """Images that nobody has judged yet (not versioned)."""
        return self.root / "data" / "00_incoming" / product

    def landing(self, product: str) -> Path:
        """Objects of a bucket on their way into the raw images (not versioned)."""
        return self.root / "data" / "00_inbox" / "landing" / product

    def quarantine(self, product: str) -> Path:
        """Copies of images that an inbox held and that could not be taken, and `quarantine.csv` (not versioned)."""
        return self.root / "data" / "00_inbox" / "quarantine" / product

    def raw(self, product: str) -> Path:
        """Raw images as ingested: `index.csv`, `images/`, `masks/` (versioned by DVC)."""
        return self.root / "data" / "01_raw" / product

    def labels(self, product: str) -> Path:
        """Labels that people changed, one line a change: appended to, kept in git (an empty file where there are none)."""
        return self.root / "data" / "01_labels" / f"{product}.csv"

    def manifest(self, product: str) -> Path:
        """Output folder of the manifest stage."""
        return self.root / "data" / "02_manifest" / product

    def alignment(self, product: str) -> Path:
        """How images are laid over one another: `align.json`, and the reference where they are; part of the manifest."""
        return self.manifest(product) / "align"

    def detector(self, product: str, name: str) -> Path:
        """Output folder of one detector's stage."""
        return self.root / "data" / "03_detectors" / product / name

    def metrics(self, product: str) -> Path:
        """Output folder of the metrics stage."""
        return self.root / "data" / "04_metrics" / product

    def selection(self, product: str) -> Path:
        """Output folder of the selection stage."""
        return self.root / "data" / "05_selection" / product

    def threshold(self, product: str) -> Path:
        """Output folder of the threshold stage."""
        return self.root / "data" / "06_threshold" / product

    def bundle(self, product: str) -> Path:
        """Output folder of the bundle stage: all that an inspection needs, and `summary.json`."""
        return self.root / "data" / "07_bundle" / product

    def report(self, product: str) -> Path:
        """Output folder of the report stage: `report.json` and its figures."""
        return self.root / "data" / "08_report" / product

    def page(self, product: str) -> Path:
        """The report itself, one file: made once the gate has spoken, and so no output of a stage (not versioned)."""
        return self.report(product).with_suffix(".html")

    def labels_page(self, product: str) -> Path:
        """The contact sheet of labels to check first, one file (not versioned)."""
        return self.report(product).with_name(f"{product}.labels.html")

    def inspection(self, product: str) -> Path:
        """Verdicts and overlays, one folder an inspection (not versioned)."""
        return self.root / "data" / "09_inspection" / product

    def quality(self, product: str) -> Path:
        """Great Expectations' Data Docs: outside DVC's outputs, so that they outlive a refusal."""
        return self.root / "data" / "10_quality" / product

    def ablation(self, product: str) -> Path:
        """What `zeromiss ablate` found, and one folder a variant with what that took (not versioned)."""
        return self.root / "data" / "12_ablation" / product

    def diff(self, product: str) -> Path:
        """Pages of what changed between two versions (not versioned)."""
        return self.root / "data" / "13_diff" / product

    def compare(self, product: str) -> Path:
        """Output folder of the compare stage: `compare.json`, figures, the page."""
        return self.root / "data" / "14_compare" / product

    def compare_page(self, product: str) -> Path:
        """The comparison's page, one file."""
        return self.compare(product) / "compare.html"

    def shadow(self, product: str) -> Path:
        """How champion and challenger judged the same images, a folder a day: appended, never changed (not versioned)."""
        return self.root / "data" / "18_shadow" / product

    def verdicts(self, product: str) -> Path:
        """Every verdict with its metrics, a folder a day: appended, never changed (not versioned)."""
        return self.root / "data" / "15_verdicts" / product

    def judgements(self, product: str) -> Path:
        """What people said of inspected parts, a folder a day: appended, never changed (not versioned)."""
        return self.root / "data" / "16_judgements" / product

    def monitor(self, product: str) -> Path:
        """What `zeromiss monitor` found last: `monitor.json`, figures, the page (not versioned)."""
        return self.root / "data" / "17_monitor" / product

    def edge(self, product: str) -> Path:
        """What `zeromiss export` wrote last, where no other folder was named (not versioned)."""
        return self.root / "data" / "19_edge" / product

    def run_file(self, product: str, stage: str) -> Path:
        """The MLflow run that last executed a stage (an output of that stage)."""
        return self.root / "data" / "11_runs" / product / f"{stage}.json"
