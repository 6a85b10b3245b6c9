"""The chart of a comparison: error against noise, a line per front end."""

import statistics

from leanbrain.chart_style import LIGHT, dress, new_figure, to_png


def draw(rows, conditions):
    """Draws a panel per share of the training data and colour of noise.

    Arguments
    ---------
    rows : list of dict
        One per run: front_end, train_share, seed and the errors in percent.
    conditions : list of str
        The columns of `rows` that hold errors: clean, <colour>_<dB>, ...

    Returns
    -------
    bytes
        A PNG: lines are means over seeds, bands reach from the lowest to the
        highest seed.
    """
    colours = list(
        dict.fromkeys(c.rpartition("_")[0] for c in conditions if "_" in c)
    )
    shares = list(dict.fromkeys(str(r["train_share"]) for r in rows))
    names = list(dict.fromkeys(r["front_end"] for r in rows))
    panels = colours or ["clean"]
    figure = new_figure(3.4 * len(panels), 0.6 + 2.6 * len(shares))
    grid = figure.subplots(
        len(shares), len(panels), sharey="row", squeeze=False
    )
    for axes_row, share in zip(grid, shares, strict=True):
        for axes, colour in zip(axes_row, panels, strict=True):
            keys = [c for c in conditions if c.startswith(f"{colour}_")]
            keys = [c for c in conditions if c == "clean"] + keys
            panel(axes, rows, share, keys, names)
            dress(axes, f"{colour}, {float(share):.0%} of the training data")
        axes_row[0].set_ylabel("test error, %")
        # After the last panel: the axis is shared, and fixed from here on.
        axes_row[0].set_ylim(bottom=0)
    grid[0][0].legend(fontsize=8, frameon=False)
    return to_png(figure)


def panel(axes, rows, share, keys, names):
    """One line and band per front end."""
    places = list(range(len(keys)))
    for index, name in enumerate(names):
        mine = [
            r
            for r in rows
            if r["front_end"] == name and str(r["train_share"]) == share
        ]
        if not mine:
            continue
        values = [[float(r[key]) for r in mine] for key in keys]
        colour = LIGHT.colour(index)
        axes.fill_between(
            places,
            [min(v) for v in values],
            [max(v) for v in values],
            color=colour,
            alpha=0.2,
            linewidth=0,
        )
        means = [statistics.mean(v) for v in values]
        axes.plot(places, means, color=colour, marker="o", label=name)
    labels = [k if k == "clean" else f"{k.rpartition('_')[2]} dB" for k in keys]
    axes.set_xticks(places, labels)
    axes.grid(axis="y", color=LIGHT.faint, linewidth=0.6)
