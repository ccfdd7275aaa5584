"""Detectors: each learns what a good part looks like."""
