"""Figures of several seeds; free of the peers, which tables need not."""

import statistics


def spread(values):
    """Median and quartiles, with the values they come from."""
    if len(values) == 1:
        low = middle = high = values[0]
    else:
        low, middle, high = statistics.quantiles(
            values, n=4, method="inclusive"
        )
    return {
        "median": middle,
        "quartiles": [low, high],
        "values": list(values),
    }
