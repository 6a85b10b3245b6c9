"""A grid of pruning methods x sparsities x seeds, run and kept."""
