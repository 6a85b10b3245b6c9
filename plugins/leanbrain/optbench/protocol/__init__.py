"""The protocol: rules, search spaces, targets."""
