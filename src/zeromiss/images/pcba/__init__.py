"""Synthetic circuit boards: one product, drawn as a camera would see it, with and without defects."""
