"""SimpleNet: adapted features of a frozen network, told from noisy ones (paper 5, section 3.1)."""
