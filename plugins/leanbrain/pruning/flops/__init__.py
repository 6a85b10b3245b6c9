"""What a training run costs in FLOPs, counted layer by layer."""
