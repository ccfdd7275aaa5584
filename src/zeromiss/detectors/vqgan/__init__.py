"""The vector-quantised GAN of paper 1, section 3.1.1."""
