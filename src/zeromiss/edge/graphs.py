"""The networks of a bundle as ONNX files: one graph from an image to all that torch calculates of it, one from boxes to distances.

The formulas stay where they are: what is traced are the functions that inspect. Axes: B images (1), C channels, H, W pixels,
h, w cells of a feature map, N boxes (x0, y0, x1, y1, half open).
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from zeromiss.backbones.base import Backbone
from zeromiss.edge.layout import BOXES, DISTANCES, IMAGE, RESIDUAL, VARIED, map_output
from zeromiss.image_size import ImageSize, Size
from zeromiss.metrics.columns import OWN_METRICS
from zeromiss.metrics.features import anomaly_map, dense_distances
from zeromiss.metrics.measure import Measurer, enlarged
from zeromiss.metrics.measure_map import MapMeasurer, cell_maps
from zeromiss.metrics.measurement import Measures
from zeromiss.metrics.perceive import Perceiver
from zeromiss.metrics.threads import Lanes

OPSET = 20

_EXAMPLE_BOXES = ((0, 0, 8, 8), (4, 4, 16, 16), (1, 2, 4, 6))  # any boxes: their number is free in the graph


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A network to be written: its outputs' names, in their order."""

    network: nn.Module
    outputs: tuple[str, ...]


class Redrawing(nn.Module):
    """An image to its reconstruction, their differences, and the detector's own numbers."""

    def __init__(self, measurer: Measurer) -> None:
        """Take the networks of a measurer."""
        super().__init__()
        self.detector, self.backbone, self._measurer = measurer.detector, measurer.backbone, measurer

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Return what `outputs_of` names."""
        measurer, image_CHW = self._measurer, image_BCHW[0]
        reconstruction = measurer.detector.reconstruct(image_BCHW)
        pair = measurer._pair(image_CHW, reconstruction)
        variation = measurer.variation
        looks = Perceiver(self.backbone, variation and variation.differences).differences(image_CHW, pair.x_hat_CHW, Lanes(1))
        size = {"height": image_CHW.shape[1], "width": image_CHW.shape[2]}
        maps = (anomaly_map(looks.fine, **size), anomaly_map(looks.coarse, **size))
        own = dict(zip(OWN_METRICS, (reconstruction.quantisation_B, reconstruction.critic_B, reconstruction.critic_hat_B), strict=True))
        numbers = [own[name] for name in measurer.detector.image_metrics]
        if measurer.detector.score_names is not None:
            detection = measurer.detector.score(image_BCHW, reconstruction)
            numbers += [detection.score_B, *detection.scores.values()]
        varied = () if variation is None else (enlarged(looks.maps, image_CHW.shape[1:]), *looks.maps.values(), looks.residual_K)
        return (pair.x_hat_CHW, pair.difference_HW, *maps, looks.perceptual_mse[None], *numbers, *looks.fine, *varied)


class Mapping(nn.Module):
    """An image to the anomaly map and scores of a detector that redraws nothing."""

    def __init__(self, measurer: MapMeasurer) -> None:
        """Take the network of a measurer."""
        super().__init__()
        self.detector, self._varied = measurer.detector, measurer.variation is not None

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Return what `outputs_of` names."""
        detection = self.detector.detect(image_BCHW)
        maps, residual_K = cell_maps(detection)
        varied = (*maps.values(), *([residual_K] if len(residual_K) else [])) if self._varied else ()
        return (detection.map_BHW[0], detection.score_B, *detection.scores.values(), *varied)


class Pooling(nn.Module):
    """Differences of feature maps and boxes to the patch distance "fid" of each box."""

    def __init__(self, size: Size) -> None:
        """Name the size of the images."""
        super().__init__()
        self.size = ImageSize.of(size)

    def forward(self, boxes_N4: Tensor, fine: list[Tensor]) -> Tensor:
        """Return the distances (N,)."""
        return dense_distances(fine, boxes_N4, height=self.size.height, width=self.size.width)


def fine_names(count: int) -> tuple[str, ...]:
    """Return the names of the differences of feature maps, which one graph gives and the next one takes."""
    return tuple(f"fine_{level}" for level in range(count))


def score_outputs(measurer: Measures) -> tuple[str, ...]:
    """Return the names of the detector's own scores, the native one first; none where it has no score of its own."""
    names = measurer.detector.score_names
    return () if names is None else ("score", *(f"score.{name}" for name in names))


def variation_outputs(measurer: Measures) -> tuple[str, ...]:
    """Return the names of the maps whose statistics are columns, and of the residual vector; none without a variation of normal images."""
    variation = measurer.variation
    return () if variation is None else (*(map_output(name) for name in variation.levels), *((RESIDUAL,) if variation.dims else ()))


def graph_of(measurer: Measures) -> Graph:
    """Return the graph of one detector."""
    detector, scores, varied = measurer.detector, score_outputs(measurer), variation_outputs(measurer)
    if isinstance(measurer, MapMeasurer):
        return Graph(network=Mapping(measurer), outputs=("map", *scores, *varied))
    fine = fine_names(len(Perceiver(measurer.backbone).fine))
    whole = ("image_hat", "difference", "map", "context", "perceptual_mse", *detector.image_metrics, *scores, *fine)
    return Graph(network=Redrawing(measurer), outputs=(*whole, *((VARIED, *varied) if varied else ())))


def write_image_graph(path: Path, graph: Graph, *, size: Size) -> None:
    """Write the graph of one detector for one image (1, 3, H, W) of `size`; raises what torch's exporter raises."""
    example = torch.rand(1, 3, *ImageSize.of(size).shape, generator=torch.Generator().manual_seed(0))
    _write(path, graph.network, (example,), inputs=(IMAGE,), outputs=graph.outputs)


def write_distances(path: Path, backbone: Backbone, *, size: Size) -> None:
    """Write the graph from feature maps and any number of boxes to their distances."""
    perceiver = Perceiver(backbone)
    with torch.inference_mode():
        maps = perceiver.maps(torch.zeros(3, *ImageSize.of(size).shape))
    fine = [torch.rand(maps[level].shape) for level in perceiver.fine]
    boxes_N4 = torch.tensor(_EXAMPLE_BOXES)
    shapes = {"boxes_N4": {0: torch.export.Dim("boxes_n", min=2, max=1 << 20)}, "fine": [{} for _ in fine]}
    _write(path, Pooling(size), (boxes_N4, fine), inputs=(BOXES, *fine_names(len(fine))), outputs=(DISTANCES,), dynamic_shapes=shapes)


def _write(path: Path, network: nn.Module, example: tuple, *, inputs: tuple[str, ...], outputs: tuple[str, ...], **more: object) -> None:
    """Trace a network and write it as one file."""
    with _quietly(), torch.no_grad():
        program = torch.onnx.export(
            network.eval(), example, input_names=list(inputs), output_names=list(outputs), opset_version=OPSET, dynamo=True, verbose=False, **more
        )
        program.save(path, external_data=False)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep the exporter's progress and its notes about what it can't know to itself."""
    names = ("torch.onnx", "onnxscript", "onnx_ir")
    before = {name: logging.getLogger(name).level for name in names}
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in before.items():
                logging.getLogger(name).setLevel(level)
