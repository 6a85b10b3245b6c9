"""What of a model can be pruned, and what a method would do to it."""
