"""Preprocessing, fourteen families of classifiers and their vote, randomised search, leave-one-out (paper 1, section 3.3)."""
