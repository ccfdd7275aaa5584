"""The parameters of a product: `params.yaml`, checked, with the profile's values below its own.

One frozen model a section (`stage_params`, `detector_params`); a section has the name of the stage (or flow) that reads it.
An unknown key is an error. Values not given come from the product's profile, then from the models' defaults.
"""

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from zeromiss.detector_params import (
    DETECTORS,
    CpcaeParams,
    CycleganParams,
    DetectorName,
    EfficientadParams,
    FAnoganParams,
    GanodipParams,
    GanomalyParams,
    PadimParams,
    PatchcoreParams,
    PatchknnParams,
    ReferenceParams,
    SimplenetParams,
    VqganParams,
)
from zeromiss.errors import ZeromissError
from zeromiss.image_size import ImageSize
from zeromiss.sections import Section, first_fault
from zeromiss.stage_params import (
    AlignParams,
    CompareParams,
    IngestParams,
    InspectionParams,
    ManifestParams,
    MetricsParams,
    MonitorParams,
    PromotionParams,
    SelectionParams,
    ServingParams,
    SourceParams,
    ThresholdParams,
)

SCHEMA_VERSION = 1


class Product(Section):
    """One product's parameters, complete."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")
    profile: str
    seed: int = Field(default=0, ge=0)
    size: ImageSize = ImageSize(256, 256)  # of the image that is inspected: pixels of a square's side, or [width, height]
    source: SourceParams
    ingest: IngestParams = IngestParams()
    manifest: ManifestParams
    align: AlignParams = AlignParams()
    detectors: tuple[DetectorName, ...] = Field(default=("vqgan",), min_length=1)  # what learns the good parts; the first one's boxes are shown
    vqgan: VqganParams = VqganParams()
    ganodip: GanodipParams = GanodipParams()
    f_anogan: FAnoganParams = FAnoganParams()
    cyclegan: CycleganParams = CycleganParams()
    cpcae: CpcaeParams = CpcaeParams()
    simplenet: SimplenetParams = SimplenetParams()
    patchknn: PatchknnParams = PatchknnParams()
    reference: ReferenceParams = ReferenceParams()
    padim: PadimParams = PadimParams()
    patchcore: PatchcoreParams = PatchcoreParams()
    efficientad: EfficientadParams = EfficientadParams()
    ganomaly: GanomalyParams = GanomalyParams()
    metrics: MetricsParams
    selection: SelectionParams
    threshold: ThresholdParams
    promotion: PromotionParams
    inspection: InspectionParams
    compare: CompareParams = CompareParams()
    monitor: MonitorParams = MonitorParams()
    serving: ServingParams = ServingParams()

    @property
    def sections(self) -> tuple[str, ...]:
        """The names of all sections that say something of this product: of its stages and of the detectors it lists."""
        return (*SECTIONS, *self.detectors)

    @model_validator(mode="after")
    def _detectors_once(self) -> "Product":
        """A detector listed twice would be learned once and counted twice."""
        if len(set(self.detectors)) < len(self.detectors):
            raise ValueError(f"detectors lists a name twice: {', '.join(self.detectors)}")
        stray = set(self.selection.detectors or ()) - set(self.detectors)
        if stray:
            raise ValueError(f"selection.detectors names {sorted(stray)[0]}, which detectors does not list: add it there")
        return self

    @model_validator(mode="after")
    def _abnormal_for_cyclegan(self) -> "Product":
        """One detector learns from defects, and from none that others are measured on."""
        if "cyclegan" in self.detectors and not self.manifest.abnormal:
            raise ValueError("detectors lists cyclegan, which learns from abnormal images too, and manifest.abnormal is 0: set it, to 0.2 for example")
        return self

    @model_validator(mode="after")
    def _tiles_fit(self) -> "Product":
        """A template belongs to whole images; the maps of all tiles must meet cell by cell."""
        if self.metrics.tiles is not None and self.vqgan.template:
            raise ValueError("metrics.tiles and vqgan.template exclude each other: set one of them to null or false")
        if self.metrics.tiles is not None and (self.size.width % 32 or self.size.height % 32):
            raise ValueError(f"metrics.tiles needs a size that is a multiple of 32, not {self.size}")
        if self.metrics.tiles is not None and self.detectors != ("vqgan",):
            raise ValueError("metrics.tiles works with the detector vqgan alone: set it to null or detectors to [vqgan]")
        return self

    @model_validator(mode="after")
    def _turned_pictures_are_read_whole(self) -> "Product":
        """A picture that is turned is sampled once, from the pixels of its file."""
        if self.align.mode == "orientation" and self.metrics.decode == "reduced":
            raise ValueError("align.mode orientation samples the pixels of the file and metrics.decode is reduced: set it to whole")
        return self

    @model_validator(mode="after")
    def _outer_folds_for_the_rule(self) -> "Product":
        """Two rules of the threshold rest on defects that outer folds judged."""
        if self.threshold.rule in ("conformal", "budget") and not self.selection.outer_repeats:
            raise ValueError(f"threshold.rule {self.threshold.rule} rests on outer folds: set selection.outer_repeats to 1 or more")
        return self

    @model_validator(mode="after")
    def _defects_for_the_rule(self) -> "Product":
        """One rule of the threshold rests on defects put aside for it, and no other rule reads them."""
        if self.threshold.rule == "umbrella" and not self.manifest.threshold:
            raise ValueError("threshold.rule umbrella rests on defects that nothing else sees: set manifest.threshold, to 0.5 for example")
        if self.threshold.rule != "umbrella" and self.manifest.threshold:
            raise ValueError(f"manifest.threshold puts defects aside that threshold.rule {self.threshold.rule} does not read: remove it or set the rule to umbrella")
        return self


SECTIONS = ("manifest", "align", "metrics", "selection", "threshold", "promotion", "inspection", "compare")
SERVICES = ("ingest", "monitor", "serving")  # sections that no stage reads: they may be missing, and no run's parameters name them


def read_params(path: Path) -> dict[str, Any]:
    """Read `params.yaml`.

    Raises ZeromissError when it is not YAML, or lacks `products`, `profiles` or the schema version.
    """
    try:
        tree = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (OSError, YAMLError) as error:
        raise ZeromissError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise ZeromissError(f"{path} is empty: it needs schema_version, profiles and products")
    unknown = set(tree) - {"schema_version", "cluster", "workers", "profiles", "products"}
    if unknown:
        raise ZeromissError(f"{path}: unknown key {sorted(unknown)[0]!r}: remove it or mend its name")
    if tree.get("schema_version") != SCHEMA_VERSION:
        raise ZeromissError(f"{path}: schema_version must be {SCHEMA_VERSION}")
    for key in ("profiles", "products"):
        if not isinstance(tree.get(key), dict):
            raise ZeromissError(f"{path}: {key!r} is missing or not a mapping")
    return tree


def read_cluster(path: Path) -> str | None:
    """Return the address of the Dask cluster that the file names, None where it names none.

    No stage depends on the key: results are the same wherever they are computed.
    Raises ZeromissError for a value that is no text.
    """
    address = read_params(path).get("cluster")
    if address is not None and not isinstance(address, str):
        raise ZeromissError(f"{path}: cluster: {address!r} is no address: write tcp://HOST:PORT or null")
    return address


def read_workers(path: Path) -> str | None:
    """Return the Prefect work pool that the file names for stages that want a GPU, None where it names none.

    No stage depends on the key. Raises ZeromissError for a value that is no text.
    """
    pool = read_params(path).get("workers")
    if pool is not None and not isinstance(pool, str):
        raise ZeromissError(f"{path}: workers: {pool!r} is no name of a work pool: write gpu or null")
    return pool


def load_product(path: Path, name: str) -> Product:
    """Return the parameters of product `name` from the file at `path`.

    Raises ZeromissError naming the key for an unknown product, profile or key, or a bad value.
    """
    return resolve_product(read_params(path), name, origin=path)


def resolve_product(tree: dict[str, Any], name: str, *, origin: Path) -> Product:
    """Lay a product's own values over its profile's and check the whole."""
    products = tree["products"]
    if name not in products:
        known = ", ".join(sorted(products)) or "none yet"
        raise ZeromissError(f"unknown product {name!r}: {origin} has {known}; add one with zeromiss product add")
    own = dict(products[name] or {})
    profile_name = own.get("profile", "quick")
    if profile_name not in tree["profiles"]:
        raise ZeromissError(f"{origin}: products.{name}.profile: no profile is called {profile_name!r}")
    profile = tree["profiles"][profile_name] or {}
    stray = set(profile) - set(SECTIONS) - set(SERVICES) - set(DETECTORS) - {"size"}
    if stray:
        raise ZeromissError(f"{origin}: profiles.{profile_name}.{sorted(stray)[0]} is not a known key")
    merged = {**own, "name": name, "profile": profile_name}
    if merged.get("size") is None:
        merged["size"] = profile.get("size", 256)
    for section in (*SECTIONS, *SERVICES, *DETECTORS):
        merged[section] = {**(profile.get(section) or {}), **(own.get(section) or {})}
    try:
        return Product.model_validate(merged)
    except ValidationError as error:
        key, fault = first_fault(error)
        raise ZeromissError(f"{origin}: products.{name}.{key}: {fault}") from None
