"""Scores of a pool of optimizers, and how sure they are."""
