"""What is benchmarked, planned as trials, run in stages."""
