"""GANomaly through anomalib: encode, decode, encode again, compare codes."""
