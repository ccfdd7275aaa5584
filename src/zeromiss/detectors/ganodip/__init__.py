"""GanoDIP, paper 2: a WGAN whose frozen generator an encoder learns to steer, judged by intermediate patches."""
