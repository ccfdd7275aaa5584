"""CycleGAN-AD: abnormal images redrawn as normal ones (paper 3)."""
