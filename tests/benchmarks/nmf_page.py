"""Makes docs/nmf_figures.md from the kept results of both NMF benchmarks.

Run: python tests/benchmarks/nmf_page.py
"""

import json
import textwrap
from pathlib import Path

from nmf_bench.tables import counts, markdown

from leanbrain.provenance import short_commit

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PAGE = HERE.parents[1] / "docs" / "nmf_figures.md"

TEXT = """# Figures of NMF

Made by `python tests/benchmarks/nmf_page.py` from the results that `make
bench-nmf` and `python tests/benchmarks/bench_nmf_denoise.py` left in
`tests/benchmarks/results`.

## Speed beside scikit-learn and torchnmf

One thread, CPU time; rivals take turns in one process, on the same spectra
from the same start, in float32; loss checks of the peers off (ours stay on:
the guard needs them); losses in float64 off the clock; all stopped at an
equal gap to the best loss known, never at equal iterations; minimum of {rounds}
rounds, median over {seeds} seeds. {data} spectra, 513 x 2000, rank 40 where
nothing else is said. Other work ran beside (load average {load} on {cores}
cores when it began): times are longer than on an idle machine, and quartiles
show what is left of that in the ratios.

{cpu}, {versions}, commit {commit}.

{kernels}

Learning is not convex: which of several minima a run ends in depends on the
seed more than on the method, and 1 % of the best loss known may lie in
another one. A side that never got there counts as endlessly slow: where it is
the peer, the ratio reads "never" and the goal as met; where it is ours, 0.
The second line of each pair compares the times to a loss that both reach.
An iteration is matrix products above all: OpenBLAS makes them faster on this
CPU than torch's MKL, so that an iteration of scikit-learn is shorter than one
of ours; where we are ahead, it is by fewer iterations.

{goals}
![Loss against CPU time](../tests/benchmarks/results/nmf.png)

Iterations, CPU time and final gap of every method:

{counts}
## Denoising

Mean gain of SI-SDR in dB, with standard error, on speakers that the
dictionary has not heard, digits with pauses before and after, noise at 0, 5
and 10 dB. Spectral subtraction is an easy method and has the pauses to learn
from; the oracle knows speech and noise.

{denoise}
NMF does not beat spectral subtraction here. What it has beyond it: any number
of sources, and dictionaries of them.
"""


def page():
    """The text of the page."""
    speed = json.loads((RESULTS / "nmf.json").read_text(encoding="utf-8"))
    noise = json.loads((RESULTS / "nmf_denoise.json").read_text("utf-8"))
    known = ("torch", "scikit-learn", "torchnmf")
    return TEXT.format(
        seeds=speed["settings"]["seeds"],
        rounds=speed["settings"]["rounds"],
        load=speed["host"]["load"][0],
        cores=speed["host"]["cores"],
        data="Real" if speed["data"] == "prompts" else "Synthetic",
        cpu=speed["host"]["cpu"],
        versions=", ".join(f"{n} {speed['versions'][n]}" for n in known),
        commit=", ".join(
            sorted(
                {short_commit(commit) for commit in speed["commits"].values()}
            )
        ),
        goals=markdown(speed),
        kernels=kernels(speed),
        counts=counts(speed),
        denoise=denoise_table(noise),
    )


def kernels(speed):
    """What multiplied the matrices of both sides."""
    lines = {line for lines in speed["kernels"].values() for line in lines}
    text = f"Kernels of matrix products: {'; '.join(sorted(lines))}."
    return textwrap.fill(text, 80)


def denoise_table(result):
    """Gains and their standard errors; a line for each noise and level."""
    methods = ("nmf", "subtraction", "oracle")
    lines = [
        "| noise, SNR | " + " | ".join(methods) + " |",
        "|---|---|---|---|",
    ]
    for name, row in result["rows"].items():
        gains = [row[f"{method}_gain_db"] for method in methods]
        cells = [f"{mean:.1f} ± {error:.1f}" for mean, error in gains]
        lines.append(f"| {name} dB | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
