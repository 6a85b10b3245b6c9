"""What the benchmark of denoising is made of."""
