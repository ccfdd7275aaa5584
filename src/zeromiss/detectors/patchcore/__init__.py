"""PatchCore through anomalib: distance to a coreset of normal features."""
