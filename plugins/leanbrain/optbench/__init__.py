"""Which optimizer trains a speech model first: protocol, scores, statistics."""
