"""Ablations: the product without one part of its method, judged on the same folds as the whole."""
