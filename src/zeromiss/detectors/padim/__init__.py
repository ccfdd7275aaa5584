"""PaDiM through anomalib: one normal distribution of features a position."""
