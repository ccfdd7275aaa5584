"""The parameters of the stages and of the gate: one frozen model a section of `params.yaml`, every key with its range and default.

Those of the detectors are in `detector_params`; `params` puts a product together.
"""

from typing import Literal

from pydantic import Field, model_validator

from zeromiss.detector_params import DetectorName
from zeromiss.sections import Section

FAMILIES = ("dt", "rf", "et", "ada", "lightgbm", "gbc", "xgboost", "lr", "knn", "nb", "lda", "qda", "wmw", "nnlr")
VOTE = "vote"  # the soft vote over the best of the others: it has no parameters of its own to draw
Family = Literal["dt", "rf", "et", "ada", "lightgbm", "gbc", "xgboost", "lr", "knn", "nb", "lda", "qda", "wmw", "nnlr", "vote"]


class SourceParams(Section):
    """Where a product's raw images come from."""

    kind: Literal["elpv", "mvtec", "csv", "pcba"]
    path: str | None = None  # folder (mvtec) or file (csv); the others bring their own images
    normals: int = Field(default=330, ge=1)  # pcba: boards without a defect
    defects: int = Field(default=174, ge=0)  # pcba: boards with one
    side: int = Field(default=384, ge=64)  # pcba: pixels of a drawn board's side
    layouts: int = Field(default=1, ge=1, le=20)  # pcba: designs among the boards; of several, each board names its own and has its picture as reference
    incoming: int = Field(default=40, ge=0)  # elpv, pcba: images put aside that no stage ever reads


class IngestParams(Section):
    """The inbox that a camera fills: `zeromiss ingest`."""

    inbox: str | None = None  # folder, or a URL such as s3://BUCKET/PREFIX; null: the argument says it, or the source is taken
    settle_seconds: float = Field(default=10.0, ge=0.0)  # a file is complete once nothing has changed it for so long
    remove: bool = False  # take images out of the inbox once their committed (and pushed) copy was read back
    push: bool = False  # push the commit to the branch's git remote


class ManifestParams(Section):
    """Splits and checks of the raw images (paper 1, section 4.1)."""

    split: Literal["paper", "official"] = "paper"
    train: float = Field(default=0.5, gt=0.0, lt=1.0)  # share of the normals that trains the network
    mask: int = Field(default=30, ge=0)  # m: unseen normals for the normal-variation mask; 0 = no mask
    audit: float = Field(default=0.2, ge=0.0, lt=1.0)  # share of the defects, and of the normals that don't train, locked away
    # share of the defects that teaches a detector that learns from them (cyclegan), drawn from those the audit leaves; no
    # detector is measured on them. 0: none. 0.2 suits cyclegan
    abnormal: float = Field(default=0.0, ge=0.0, lt=1.0)
    # share of the parts with a defect that set the threshold and do nothing else (threshold.rule umbrella), drawn at random
    # before all others; no detector, search or fold sees them. 0: none
    threshold: float = Field(default=0.0, ge=0.0, lt=1.0)
    min_defects: int = Field(default=8, ge=2)
    min_side: int = Field(default=32, ge=16)
    max_side: int = Field(default=8192, ge=16)
    # AUC in [0.5, 1] above which a trivial property (brightness, file size, ...) is told as a shortcut: one that tells
    # defects from normal images, and one that tells training images from the table's, both normal
    shortcut_limit: float = Field(default=0.8, ge=0.5, le=1.0)
    shift_limit: float = Field(default=0.65, ge=0.5, le=1.0)
    # photographs that show the same part again: their parts count as one (group), are reported only (tell), or are not looked for (off)
    near_duplicates: Literal["group", "tell", "off"] = "group"

    @model_validator(mode="after")
    def _defects_left(self) -> "ManifestParams":
        """Audit, teaching and the threshold together must leave the table some."""
        if self.audit + self.abnormal + self.threshold >= 1.0:
            raise ValueError(
                f"audit {self.audit:g}, abnormal {self.abnormal:g} and threshold {self.threshold:g} leave the metric table no defect: lower one of them"
            )
        return self


class AlignParams(Section):
    """Laying each image over a reference before anything is learned or judged (GanoDIP, sections 3 and 6.1; CPCAE, section 3)."""

    # by nothing; by marks of the part; by all that is seen, where parts lie nearly alike; or parts at any angle, turned to lie as the reference's
    mode: Literal["none", "fiducial", "reference", "orientation"] = "none"
    motion: Literal["translation", "euclidean"] = "euclidean"  # a shift, or a shift and a turn
    reference: str | None = None  # image to align to, its path as in index.csv; null: the training image nearest to their mean
    # fiducial: places (x, y) in the reference, shares of its width and height from the upper left corner
    marks: tuple[tuple[float, float], ...] = Field(default=(), max_length=6)
    mark_side: float = Field(default=0.06, gt=0.0, le=0.3)  # fiducial: of the square patch that is a mark, share of the picture's longer side
    max_shift: float = Field(default=0.1, gt=0.0, le=0.25)  # of the picture's middle, share of its longer side; beyond it an image is refused
    max_rotation: float = Field(default=5.0, gt=0.0, le=20.0)  # euclidean: degrees; beyond them an image is refused
    # orientation: what an image shows: as much as the whole picture does, or the part with a margin (without a background: what is seen at any angle)
    crop: Literal["full", "part"] = "full"
    margin: float = Field(default=0.05, ge=0.0, le=0.5)  # orientation with crop part: on every side, share of the part's length or breadth
    min_correlation: float = Field(default=0.6, ge=0.0, lt=1.0)  # of local contrast with the reference's once aligned (fiducial: of every mark); below it an image is refused

    @model_validator(mode="after")
    def _says_nothing_in_vain(self) -> "AlignParams":
        """A key that the mode does not read is refused, and so is a mark that is missing."""
        placed, marked, turned = {"motion", "max_shift", "max_rotation"}, {"marks", "mark_side"}, {"crop", "margin"}
        every = AlignParams.model_fields.keys() - {"mode"}
        unread = {"none": every, "reference": marked | turned, "fiducial": turned, "orientation": placed | marked}[self.mode]
        if self.motion == "translation":
            unread = unread | {"max_rotation"}
        if self.crop == "full":
            unread = unread | {"margin"}
        for key in sorted(unread & self.model_fields_set):
            if getattr(self, key) != AlignParams.model_fields[key].default:
                others = f"align.motion {self.motion}" if self.mode != "orientation" else f"align.crop {self.crop}"
                raise ValueError(f"align.{key} is set, but align.mode {self.mode} with {others} does not read it: remove it or change the mode")
        if self.mode == "fiducial" and (len(set(self.marks)) < 2 or self.reference is None):
            raise ValueError("align.mode fiducial needs align.reference and two different align.marks in it or more: name them")
        if any(not 0.0 < share < 1.0 for mark in self.marks for share in mark):
            raise ValueError("align.marks are shares of the reference's width and height, above 0 and below 1: mend them")
        return self


class TilesParams(Section):
    """Tiles in which an image too large for the memory is reconstructed and looked at."""

    side: int = Field(default=512, ge=128, multiple_of=32)  # pixels a tile contributes
    overlap: int = Field(default=64, ge=32, multiple_of=32)  # pixels it sees beyond, on every side


class MetricsParams(Section):
    """Localisation and the metric table (paper 1, sections 3.1.2 and 3.2)."""

    mode: Literal["dense", "crops"] = "dense"
    fixed_position: bool = True  # weight differences with the normal-variation mask
    pixels: int = Field(default=100, ge=1)  # p
    scales: int = Field(default=4, ge=1)  # n
    alpha: int = Field(default=4, ge=2)
    patches: int = Field(default=250, ge=1)  # q
    backbone: str = "efficientnet_lite0"
    backbone_path: str | None = None
    strides: tuple[int, int] | None = None  # pixels a cell of the backbone's maps whose differences are whitened; null: by the size of the smallest defects
    variation_images: int = Field(default=400, ge=2)  # normal images, unseen ones first, that the variation of differences is fitted on, at most
    # folded: the backbone's batch norms become part of its convolutions, which takes half the time and rounds
    # otherwise. apart: as in bundles made before there was a choice, which don't name it and so keep their bits.
    norms: Literal["apart", "folded"] = "apart"
    # bf16: decoder and discriminator compute in it, which takes a third less time and moves shades by up to one in 256
    precision: Literal["fp32", "bf16"] = "fp32"
    decode: Literal["whole", "reduced"] = "whole"  # reduced: JPEGs four times too large or more are read smaller, and faster
    tiles: TilesParams | None = None  # null: whole images

    @model_validator(mode="after")
    def _patches_fit_the_overlap(self) -> "MetricsParams":
        """A tile must see the whole of every patch that begins in it, and the cells around."""
        largest = self.scales * self.alpha
        if self.tiles is not None and largest + 16 > self.tiles.overlap:
            raise ValueError(f"tiles.overlap must be at least 16 above the largest patch, which has {largest} pixels a side")
        return self


class SelectionParams(Section):
    """Preprocessing, randomised search and leave-one-out (paper 1, section 3.3)."""

    detectors: tuple[DetectorName, ...] | None = Field(default=None, min_length=1)  # whose columns the composite rests on; null: all of them
    families: tuple[Family, ...] = (*FAMILIES, VOTE)
    draws: int = Field(default=500, ge=1)  # of the randomised search, a family
    # what a draw is judged by on a fold: at 0.5 (the paper), at the fold's lowest defect score, or by rank from a sensitivity of 0.95 on; and what
    # the winner is chosen by on the pool: accuracy at the lowest defect score (the paper) for the first two, rank for the last
    scoring: Literal["accuracy", "zfn_accuracy", "partial_auc"] = "accuracy"
    trees: int = Field(default=80, ge=1)  # most trees an ensemble may have
    folds: int = Field(default=5, ge=2)
    repeats: int = Field(default=1, ge=1)  # of the search folds, each shuffled anew: steadier, and as many times as slow
    racing: float = Field(default=0.5, gt=0.0, le=1.0)  # share of a family's draws that goes on after each fold; 1: drop only what cannot win
    correlation: float = Field(default=0.95, gt=0.0, le=1.0)  # above: keep one column only
    tails: Literal["asinh", "as_measured"] = "asinh"  # of columns: far out they count by their logarithm, in units of the normal parts' spread; or as measured (the paper)
    # columns, those that alone tell defects best in the training part, the best of correlated ones; null: all, the first of correlated ones
    most: int | None = Field(default=None, ge=1)
    smote_below: float = Field(default=0.4, ge=0.0, le=0.5)  # minority share under which SMOTE acts
    smote_neighbors: int = Field(default=5, ge=1)
    outer_folds: int = Field(default=5, ge=2)  # of the honest protocol
    outer_repeats: int = Field(default=0, ge=0)  # 0: the honest protocol is left out
    unseen_type_draws: int | None = Field(default=3, ge=1)  # draws of a family in each search that leaves one type of defect out; null: none is left out
    jobs: int = -1

    @property
    def searched(self) -> tuple[str, ...]:
        """The families whose parameters are drawn: all but the vote."""
        return tuple(family for family in self.families if family != VOTE)

    @model_validator(mode="after")
    def _vote_has_voters(self) -> "SelectionParams":
        """A vote is over two families or more."""
        if VOTE in self.families and len(self.searched) < 2:
            raise ValueError("selection.families asks for a vote over fewer than two other families: name more, or leave vote out")
        return self


class ThresholdParams(Section):
    """The zero-false-negative threshold (paper 1, section 3.3, last phase)."""

    rule: Literal["zfn", "margin", "conformal", "budget", "umbrella"] = "zfn"
    margin: float = Field(default=0.0, ge=0.0, lt=1.0)  # margin: of the lowest defect score; the threshold lies this share below it
    target: float | None = Field(default=None, gt=0.0, lt=1.0)  # conformal: highest probability of missing the next defect; umbrella: highest miss rate
    budget_ppm: float | None = Field(default=None, gt=0.0, lt=1e6)  # budget: highest miss rate, in defects per million
    confidence: float = Field(default=0.95, gt=0.0, lt=1.0)

    @model_validator(mode="after")
    def _rule_has_its_key(self) -> "ThresholdParams":
        """A rule's own key is set and no other's: none would be read in silence."""
        given = {"margin": self.margin > 0.0, "target": self.target is not None, "budget_ppm": self.budget_ppm is not None}
        own = {"margin": "margin", "conformal": "target", "budget": "budget_ppm", "umbrella": "target"}.get(self.rule)
        for key, is_set in given.items():
            if is_set and key != own:
                raise ValueError(f"threshold.{key} is set, but threshold.rule {self.rule} does not read it: remove it or change the rule")
        if own is not None and not given[own]:
            raise ValueError(f"threshold.rule {self.rule} needs threshold.{own} above 0: set it")
        return self


class PromotionParams(Section):
    """The gate between challenger and champion."""

    confidence: float = Field(default=0.95, gt=0.0, lt=1.0)
    min_audit_defects: int = Field(default=3, ge=1)
    chance: float = Field(default=0.001, ge=0.0001, lt=1.0)  # highest p-value at which scores count as better than chance
    audit_uses: int = Field(default=10, ge=1)  # different models that may be judged on an audit image before it bears no bound
    # share of the good holdout parts that must pass, by the lower bound with `confidence` once there is a champion; 0: only a model that passes none is refused
    min_passed: float = Field(default=0.2, ge=0.0, lt=1.0)
    alarm_level: float = Field(default=0.05, gt=0.0, le=1.0)  # p-value up to which more false alarms than the champion's refuse; 1: any more do
    latency_ms: float | None = Field(default=None, gt=0.0)  # within which 95 % of the audit images must be judged, one at a time; null: no limit
    clean: Literal["any", "stored", "committed"] = "stored"  # of code and data: nothing asked, enough is stored to make it again, all is committed
    report: bool = True  # whether the report of the very bundle must have been made
    mode: Literal["auto", "approve"] = "auto"  # who has the last word: the gate, or a person after it
    wait_hours: float = Field(default=72.0, gt=0.0, le=720.0)  # that a paused promotion waits for the person


class InspectionParams(Section):
    """How verdicts are written."""

    overlays: bool = True
    boxes: int = Field(default=25, ge=1)  # patches drawn on an overlay, the most distant first
    defect_share: float | None = Field(default=None, gt=0.0, lt=1.0)  # of the line: what calibrated probabilities are shifted to; null: as in the table
    next_parts: int = Field(default=10_000, ge=1)  # of the line: the threshold's statement says how many misses are to be expected among them
    shadow: bool = False  # whether the challenger judges the champion's images too, for comparison only


class ServingParams(Section):
    """Judging over HTTP: `zeromiss serve`. No stage reads this section."""

    threads: int | None = Field(default=None, ge=1, le=64)  # images judged at once; null: one a core
    queue: int = Field(default=32, ge=1, le=4096)  # images that may wait beyond those; more are told to come again
    batch_images: int = Field(default=16, ge=1, le=1024)  # most images of one request
    max_body_mib: float = Field(default=16.0, gt=0.0, le=1024.0)  # MiB of one request, all of its images
    max_megapixels: float = Field(default=50.0, gt=0.0, le=170.0)  # of one image, by its header; Pillow itself refuses above 179
    seconds: float = Field(default=30.0, gt=0.0, le=3600.0)  # for a request to arrive, and again for it to be judged
    boxes: int = Field(default=25, ge=0)  # patches in an answer, the most distant first
    poll_seconds: float = Field(default=5.0, gt=0.0, le=3600.0)  # between two looks at which version is champion
    notice_seconds: float = Field(default=0.0, ge=0.0, le=600.0)  # told to stop, /health says not ready for so long and all goes on
    drain_seconds: float = Field(default=60.0, gt=0.0, le=3600.0)  # most that requests under way get once no new ones are taken; the last rows get as long again
    keep: bool = True  # a row of every verdict in the product's data set of verdicts, as zeromiss inspect keeps them
    keep_seconds: float = Field(default=60.0, gt=0.0, le=3600.0)  # between two writes of rows: what a kill loses

    @model_validator(mode="after")
    def _a_batch_finds_room(self) -> "ServingParams":
        """A batch that cannot ever be taken in would be refused for ever."""
        if self.batch_images > self.queue:
            raise ValueError(f"serving.batch_images {self.batch_images} is more than serving.queue {self.queue} has room for: raise the queue")
        return self


class MonitorParams(Section):
    """When recent inspections are unlike those the model was chosen on: `zeromiss monitor`."""

    days: int = Field(default=7, ge=1)  # of verdicts that are looked at, up to the newest
    least: int = Field(default=30, ge=10)  # images; of fewer no drift is told
    most: int = Field(default=500, ge=10)  # images, the newest, that are compared with the table
    false_alarm: float = Field(default=0.001, ge=1e-5, lt=0.5)  # chance that one check tells of a drift where nothing has changed
    permutations: int = Field(default=1999, ge=99)  # that the chance is taken from
    fpr_rise: float = Field(default=2.0, gt=1.0)  # times the expected false-positive rate that the observed one may reach
    misses: int = Field(default=0, ge=0)  # defects that a model may have called normal before someone is told

    @model_validator(mode="after")
    def _enough_permutations(self) -> "MonitorParams":
        """Two figures share the chance, and no p-value lies below one in the permutations and one."""
        if 2.0 / (self.permutations + 1) > self.false_alarm:
            raise ValueError(f"monitor.false_alarm {self.false_alarm:g} needs monitor.permutations of {round(2 / self.false_alarm) - 1} or more: raise one of the two")
        if self.most < self.least:
            raise ValueError("monitor.most is below monitor.least: raise it")
        return self


class CompareParams(Section):
    """Detectors and composites of several side by side: `zeromiss compare`."""

    seeds: int = Field(default=1, ge=1, le=20)  # fits of every detector, from the product's seed on, whose spread is told
    families: tuple[Family, ...] = Field(default=("et", "lr"), min_length=1)  # that composites choose among
    draws: int = Field(default=8, ge=1)  # of each family
    scoring: Literal["accuracy", "zfn_accuracy", "partial_auc"] = "accuracy"  # what a draw is judged by on a fold, as in selection
    most: int | None = Field(default=150, ge=1)  # columns a composite keeps, as in selection; 150 of 20, 60, 100, 150 and all was best on the solar cells
    speed: float = Field(default=2.0, ge=1.0)  # a stack for speed takes at most this many times as long as its first or cheapest member
    maps: int = Field(default=10, ge=1, le=50)  # images whose maps are shown
