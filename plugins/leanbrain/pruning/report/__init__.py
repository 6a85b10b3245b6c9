"""One page that compares finished runs."""
