"""EfficientAD through anomalib: a student that imitates a teacher on normal parts alone."""
