"""How steady the choice of the winner is, shown by resamples of a metric table."""
