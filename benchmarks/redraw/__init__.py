"""Two other ways to redraw an image, tried against the VQGAN's convolutions and not taken up: see docs/reconstructors.md."""
