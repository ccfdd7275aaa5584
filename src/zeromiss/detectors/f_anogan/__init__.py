"""f-AnoGAN as paper 2, section 5.1 describes it: GanoDIP's networks on small patches of the image."""
