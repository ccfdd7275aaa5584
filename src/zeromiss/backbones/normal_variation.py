"""How the features of normal parts vary: whitening, and one Gaussian a place (paper 1, section 3.2).

The paper weighs differences by one number a pixel, how much normal parts differ there. Here the same idea is a
covariance: of all feature vectors (whitening), and of the vectors of each place where parts always lie alike. Vectors are
features of an image, or their differences from a reconstruction or a reference. Everything is inverted in float64 and
applied in float32. It is kept in float32 too, the factors of places in half precision: they are most of a bundle, and rounding
them moves a distance by some 1e-4 of itself.

Axes: B images, N vectors, C channels, K whitened dimensions (the one of largest variance first), J the leading ones of them,
h, w cells of the grid.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from zeromiss.errors import ZeromissError

RIDGE = 1e-3  # added to each eigenvalue, a share of the largest: quiet directions must not shout
DROP = 1e-4  # directions of less than this share of the largest eigenvalue are left out
FLOOR = 1e-6  # added to each variance of a place: one that never varied has an inverse too; usual ones are about 1
WORST = 10  # cells of a map whose mean is its score
MIN_IMAGES = 20  # below which no Gaussian a place is fitted
_MEAN = ".places.mean_hwK"


class Moments:
    """Number, mean and covariance of vectors that come in batches, in float64; no vector is kept."""

    def __init__(self) -> None:
        """Start with no vector."""
        self.count = 0
        self.mean_C = torch.zeros(0, dtype=torch.float64)
        self._scatter_CC = torch.zeros(0, dtype=torch.float64)

    def include(self, vectors_NC: Tensor) -> None:
        """Add vectors (Chan's update, so that a large mean costs no digits)."""
        vectors_NC = vectors_NC.double()
        mean_C, number = vectors_NC.mean(0), len(vectors_NC)
        away_NC = vectors_NC - mean_C
        scatter_CC = away_NC.T @ away_NC
        if not self.count:
            self.count, self.mean_C, self._scatter_CC = number, mean_C, scatter_CC
            return
        total, shift_C = self.count + number, mean_C - self.mean_C
        self._scatter_CC += scatter_CC + torch.outer(shift_C, shift_C) * (self.count * number / total)
        self.mean_C = self.mean_C + shift_C * (number / total)
        self.count = total

    def covariance(self) -> Tensor:
        """Return the unbiased covariance (C, C); raises ZeromissError for fewer than two vectors."""
        if self.count < 2:
            raise ZeromissError(f"a covariance needs two vectors at least, there are {self.count}: add normal images")
        return self._scatter_CC / (self.count - 1)


@dataclass(frozen=True, kw_only=True)
class Whitening:
    """Turns vectors into ones whose dimensions have no correlation and nearly unit variance on normal parts."""

    mean_C: Tensor
    matrix_CK: Tensor

    @classmethod
    def fit(cls, moments: Moments) -> Self:
        """Return the whitening of vectors with these moments.

        The eigenvectors of the covariance, each divided by sqrt(eigenvalue + RIDGE * largest eigenvalue); those with an
        eigenvalue of at most DROP * the largest are left out. Raises ZeromissError when the vectors do not vary at all.
        """
        value_C, vector_CC = torch.linalg.eigh(moments.covariance())
        largest = value_C[-1]
        if not largest > 0:
            raise ZeromissError("the features of normal images do not vary at all: check that the images differ")
        kept_C = value_C > DROP * largest
        matrix_CK = vector_CC[:, kept_C] / (value_C[kept_C] + RIDGE * largest).sqrt()
        return cls(mean_C=moments.mean_C.float(), matrix_CK=matrix_CK.flip(1).float().contiguous())

    @property
    def dims(self) -> int:
        """The number of whitened dimensions, K."""
        return self.matrix_CK.shape[1]

    def __call__(self, vectors_NC: Tensor) -> Tensor:
        """Return the whitened vectors (..., K)."""
        return (vectors_NC - self.mean_C) @ self.matrix_CK

    def tensors(self) -> dict[str, Tensor]:
        """Return what is stored of it."""
        return {"whitening.mean_C": self.mean_C, "whitening.matrix_CK": self.matrix_CK}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Return the whitening that `tensors` holds."""
        return cls(mean_C=tensors["whitening.mean_C"], matrix_CK=tensors["whitening.matrix_CK"])


class PlaceMoments:
    """Number, mean and covariance of each place's vectors over images, in float64; no image is kept.

    The covariance is of the leading J dimensions, the mean of all.
    """

    def __init__(self, dims: int) -> None:
        """Start with no image; `dims` is J."""
        self.dims, self.count = dims, 0
        self.mean_hwK = torch.zeros(0, dtype=torch.float64)
        self._scatter_hwJJ = torch.zeros(0, dtype=torch.float64)

    def include(self, vectors_hwK: Tensor) -> None:
        """Add one image (Welford's update)."""
        vectors_hwK = vectors_hwK.double()
        if not self.count:
            self.mean_hwK = torch.zeros_like(vectors_hwK)
            self._scatter_hwJJ = vectors_hwK.new_zeros(*vectors_hwK.shape[:2], self.dims, self.dims)
        self.count += 1
        before_hwJ = (vectors_hwK - self.mean_hwK)[..., : self.dims]
        self.mean_hwK += (vectors_hwK - self.mean_hwK) / self.count
        after_hwJ = (vectors_hwK - self.mean_hwK)[..., : self.dims]
        self._scatter_hwJJ += before_hwJ[..., :, None] * after_hwJ[..., None, :]

    def covariance(self, row: int) -> Tensor:
        """Return the maximum-likelihood covariance of each place of one row, (w, J, J)."""
        scatter_wJJ = self._scatter_hwJJ[row]
        return (scatter_wJJ + scatter_wJJ.mT) / (2 * self.count)


@dataclass(frozen=True, kw_only=True)
class PlaceGaussians:
    """One Gaussian of whitened vectors a place, for parts that always lie alike."""

    mean_hwK: Tensor
    factor_hwJJ: Tensor  # float16, upper triangular L with L @ L.T the inverse covariance of the leading J dimensions

    @classmethod
    def fit(cls, moments: PlaceMoments, *, shrinkage: float | None) -> Self:
        """Return the Gaussians of vectors with these moments.

        A covariance S becomes (1 - rho) S + rho tr(S) / J I with rho = `shrinkage` in (0, 1]; None: the oracle
        approximating shrinkage of each place, which grows as images get few (Chen et al. 2010). Raises ZeromissError for
        fewer than `MIN_IMAGES` images.
        """
        if moments.count < MIN_IMAGES:
            raise ZeromissError(f"a Gaussian a place needs {MIN_IMAGES} normal images at least, there are {moments.count}: add normal images")
        rows = [_precision_factor(moments.covariance(row), moments.count, shrinkage) for row in range(len(moments.mean_hwK))]
        return cls(mean_hwK=moments.mean_hwK.float(), factor_hwJJ=torch.stack(rows))

    def away(self, white_hwK: Tensor) -> Tensor:
        """Return how far each place's vector lies from its normal mean, (h, w, K)."""
        return white_hwK - self.mean_hwK

    def distances(self, away_hwK: Tensor) -> Tensor:
        """Return the Mahalanobis distance (h, w) of vectors `away` from their means, >= 0 (higher = more abnormal)."""
        away_hw1J = away_hwK[..., None, : self.factor_hwJJ.shape[-1]]
        return (away_hw1J @ self.factor_hwJJ.float()).square().sum((-2, -1)).sqrt()

    def tensors(self) -> dict[str, Tensor]:
        """Return what is stored of it."""
        return {"places.mean_hwK": self.mean_hwK, "places.factor_hwJJ": self.factor_hwJJ}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Return the Gaussians that `tensors` holds."""
        return cls(mean_hwK=tensors["places.mean_hwK"], factor_hwJJ=tensors["places.factor_hwJJ"])


class DesignMoments:
    """Moments of each place's vectors for all images, and where there are several designs for those of each one."""

    def __init__(self, dims: int, designs: Sequence[str]) -> None:
        """Start with no image; `dims` is J, `designs` the design of each image to come."""
        counts = Counter(designs)
        self._own = {design: PlaceMoments(dims) for design in own_gaussians(counts)}
        self._all = PlaceMoments(dims)
        self._shared = len(self._own) < len(counts)

    def include(self, vectors_hwK: Tensor, design: str = "") -> None:
        """Add one image."""
        if design in self._own:
            self._own[design].include(vectors_hwK)
        if self._shared:
            self._all.include(vectors_hwK)

    def fit(self, *, shrinkage: float | None) -> "DesignGaussians":
        """Return the Gaussians; raises ZeromissError as `PlaceGaussians.fit`."""
        own = {design: PlaceGaussians.fit(moments, shrinkage=shrinkage) for design, moments in self._own.items()}
        return DesignGaussians(own | ({"": PlaceGaussians.fit(self._all, shrinkage=shrinkage)} if self._shared else {}))


@dataclass(frozen=True)
class DesignGaussians:
    """One Gaussian a place of each design that had enough images; under '' one of all images, for every other design."""

    of: Mapping[str, PlaceGaussians]

    def __getitem__(self, design: str) -> PlaceGaussians:
        """Return the Gaussians of a design; raises ZeromissError for one that no image had, where each has its own."""
        found = self.of.get(design, self.of.get(""))
        if found is None:
            raise ZeromissError(f"the design {design!r} is not among those that normal images were learned of: {', '.join(sorted(self.of))}")
        return found

    def tensors(self) -> dict[str, Tensor]:
        """Return what is stored of them."""
        return {f"design.{design}.{key}": value for design, places in self.of.items() for key, value in places.tensors().items()}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> "DesignGaussians | None":
        """Return the Gaussians that `tensors` holds, None where it holds none."""
        names = [key.removeprefix("design.").removesuffix(_MEAN) for key in tensors if key.startswith("design.") and key.endswith(_MEAN)]
        found = {}
        for name in sorted(names):
            own = {key.removeprefix(f"design.{name}."): value for key, value in tensors.items() if key.startswith(f"design.{name}.places.")}
            found[name] = PlaceGaussians.of(own)
        return cls(found) if found else None


def own_gaussians(counts: Mapping[str, int]) -> list[str]:
    """Return the designs that get Gaussians of their own, of so many images each: those with `MIN_IMAGES` at least, '' (no design) never."""
    return sorted(design for design, count in counts.items() if design and count >= MIN_IMAGES)


def gaussians_kept(counts: Mapping[str, int]) -> list[str]:
    """Return the designs whose Gaussians are kept, in order; '' stands for those of all images, which designs of few images share."""
    own = own_gaussians(counts)
    return own if len(own) == len(counts) else ["", *own]


def gaussians_told(counts: Mapping[str, int]) -> str:
    """Return a clause on which designs share the Gaussians of all images, '' where there are no designs."""
    if set(counts) <= {""}:
        return ""
    few = sorted(set(counts) - set(own_gaussians(counts)))
    return f"; designs with fewer than {MIN_IMAGES} normal images share one of all images: {', '.join(few)}" if few else f", for each of {len(counts)} designs"


def place_dims(places: int, dims: int, *, mib: float) -> int:
    """Return how many leading dimensions a Gaussian of each of so many places may have, at most `dims`, within `mib` MiB of half precision."""
    return max(1, min(dims, int((mib * 2**20 / (2 * places)) ** 0.5)))


def _precision_factor(covariance_wJJ: Tensor, count: int, shrinkage: float | None) -> Tensor:
    """Return L (w, K, K), float16, with L @ L.T the inverse of each shrunk covariance.

    With the Cholesky factor G of the covariance, its inverse is G^-T G^-1, so L = G^-T.
    """
    dims = covariance_wJJ.shape[-1]
    level_w = covariance_wJJ.diagonal(dim1=1, dim2=2).mean(1)
    if shrinkage is None:
        spread_w = covariance_wJJ.square().mean((1, 2))
        rho_w = ((spread_w + level_w.square()) / ((count + 1) * (spread_w - level_w.square() / dims))).nan_to_num(1.0).clamp(0.0, 1.0)
    else:
        rho_w = torch.full_like(level_w, shrinkage)
    unit_JJ = torch.eye(dims, dtype=covariance_wJJ.dtype)
    shrunk_wJJ = (1 - rho_w)[:, None, None] * covariance_wJJ + (rho_w * level_w + FLOOR)[:, None, None] * unit_JJ
    own_wJJ = torch.linalg.cholesky(shrunk_wJJ)
    return torch.linalg.solve_triangular(own_wJJ, unit_JJ.expand_as(own_wJJ), upper=False).mT.half().contiguous()


def worst_mean(map_Bhw: Tensor) -> Tensor:
    """Return the mean of the `WORST` largest cells of each map, (B,): the native score of a map of cells."""
    flat_BN = map_Bhw.flatten(1)
    return flat_BN.topk(min(WORST, flat_BN.shape[1]), dim=1).values.mean(1)


def worst_vector(map_hw: Tensor, vector_hwK: Tensor) -> Tensor:
    """Return the mean vector (K,) of the `WORST` largest cells of a map: what differs there, not only how much."""
    flat_N = map_hw.flatten()
    return vector_hwK.flatten(0, 1)[flat_N.topk(min(WORST, len(flat_N))).indices].mean(0)
