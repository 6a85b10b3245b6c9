"""How a pruner gets into a Brain, a stock script or an optimizer."""
