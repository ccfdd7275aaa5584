"""The zero-false-negative threshold, and what it does and does not guarantee."""
