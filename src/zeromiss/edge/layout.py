"""Names inside an exported folder, which its writer and its reader share.

    edge.json             model, parameters, threshold, columns, versions, and the SHA-256 of every file below
    <detector>/image.onnx an image (1, 3, H, W) to reconstruction, differences, maps and the detector's own numbers
    <detector>/mask.npy   its normal-variation mask, where it has one
    distances.onnx        boxes and differences of feature maps to the boxes' distances
    classifier.skops      as in the bundle
    align/                as in the bundle, where images are laid over a reference
    zeromiss/             the modules that inspect, none of which needs torch
    inspect_images.py     what is run; requirements.txt: what it needs
    verified.json         how far scores lay from torch's on which images, and how long each took
"""

SCHEMA_VERSION = 1
CONFIG, VERIFIED, RUNNER, REQUIREMENTS = "edge.json", "verified.json", "inspect_images.py", "requirements.txt"
GRAPH, MASK, DISTANCES_FILE, CLASSIFIER, ALIGN = "image.onnx", "mask.npy", "distances.onnx", "classifier.skops", "align"
IMAGE, BOXES, DISTANCES = "image", "boxes", "distances"  # inputs and outputs of the graphs
RESIDUAL, VARIED = "residual", "varied"  # outputs: how the most abnormal cells differ; the map that chooses the boxes, enlarged to pixels


def map_output(name: str) -> str:
    """Return the output's name of a map whose statistics are columns."""
    return f"map.{name}"
