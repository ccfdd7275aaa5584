"""Whitened nearest neighbours of patches, and one Gaussian a place: no training, so the first detector to run."""
