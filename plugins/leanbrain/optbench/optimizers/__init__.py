"""Optimizers as YAML files, and those that no package has."""
