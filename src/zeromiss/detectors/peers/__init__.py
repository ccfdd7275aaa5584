"""What the detectors that run on anomalib share: how its models are built offline, judged with and stored."""
