"""Preprocessing, thirteen families of classifiers, randomised search, leave-one-out (paper 1, section 3.3)."""
