"""CPCAE: a conditional patch autoencoder, and neighbours among the features of its error maps (paper 4)."""
