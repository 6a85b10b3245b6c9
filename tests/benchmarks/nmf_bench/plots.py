"""Loss against CPU time, as PNG."""

from pathlib import Path

from leanbrain.chart_style import LIGHT, dress, new_figure, to_png

TITLES = {"kl": "KL", "frobenius": "Frobenius"}
# Below this gap the lines only show how long each method ran.
LEAST = 1e-3
OURS = ["auto", "mu", "fastmu", "musom", "bmme", "hals"]
# Dashed; scikit-learn's MU in the colour of ours.
PEERS = ["torchnmf", "sklearn MU", "sklearn CD"]


def draw(curves, path):
    """One panel for each task.

    Arguments
    ---------
    curves : dict
        "kl-20" and so on -> method -> list of (iterations, CPU s, loss).
    path : path
        Where the PNG is to be.
    """
    figure = new_figure(10, 3.6 * ((len(curves) + 1) // 2))
    panels = figure.subplots((len(curves) + 1) // 2, 2, squeeze=False)
    for axes in panels.flat[len(curves) :]:
        axes.set_visible(False)
    for axes, (task, lines) in zip(panels.flat, curves.items(), strict=False):
        loss, rank = task.split("-")
        _panel(axes, lines)
        dress(axes, f"{TITLES[loss]} learning, rank {rank}, one seed")
    Path(path).write_bytes(to_png(figure, dpi=120))


def _panel(axes, lines):
    """The gap to the best loss of all lines against CPU time."""
    best = min(point[2] for points in lines.values() for point in points)
    names = [name for name in OURS + PEERS if name in lines]
    for name in names:
        points, peer = lines[name], name in PEERS
        index = (PEERS if peer else OURS).index(name)
        axes.plot(
            [point[1] for point in points],
            [max(point[2] / best - 1, LEAST) for point in points],
            "--" if peer else "-",
            color=LIGHT.colour(index),
            linewidth=2.2 if name == "auto" else 1.3,
            label=name,
        )
    axes.axhline(0.01, color=LIGHT.faint, linewidth=1)
    axes.set(xscale="log", yscale="log", ylim=(LEAST, 2))
    axes.set_xlabel("CPU time of one thread (s)")
    axes.set_ylabel("loss over the best known, minus 1")
    axes.legend(frameon=False, fontsize=8, labelcolor=LIGHT.ink)
