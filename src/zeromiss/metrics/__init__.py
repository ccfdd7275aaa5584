"""Localisation, normal-variation mask and the metric table (paper 1, sections 3.1.2 and 3.2)."""
