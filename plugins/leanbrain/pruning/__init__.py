"""When and how masks change, built from pure functions."""
