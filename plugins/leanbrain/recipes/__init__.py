"""Recipes of others: their YAML files without their data and scripts."""
