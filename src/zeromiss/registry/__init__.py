"""What happened and which model is in charge: runs, registered models, the promotion gate."""
