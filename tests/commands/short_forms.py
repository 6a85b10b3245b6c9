"""The shortest honest form of every command of the pages.

A command that stands in a page must stand here, word for word on one line, or
`make test` fails. Its short form is the command itself with a few words
replaced (a placeholder, a number of trials) and some added (`--debug`).

Variables of the shell: $DIGITS, $PROMPTS, $LIBRISPEECH (tiny corpora), $WHISPER
(a tiny model), $OUT (an empty folder), $HERE (this one). See `places.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["CI", "MENTIONED", "SHORT", "STOCK", "Short", "short_form"]

STOCK = "<stock>"
"""A folder with a stock recipe: copies of tests/integration/host/stock."""


@dataclass(frozen=True)
class Short:
    """How a command is run.

    Arguments
    ---------
    add : str
        Words that are added at its end.
    replace : Mapping
        Part of the command -> what it is replaced by.
    folder : str | None
        Where it is run, from the root; None: where its block has changed to.
    first : str
        Shell that makes what the page takes for granted.
    after : tuple
        Commands of the pages that have to have run; each runs once.
    leaves : str
        A file that it leaves, relative to its folder.
    says : str
        A pattern in what it prints.
    serves : bool
        Whether it goes on until it is ended, which it is once it `says`.
    needs : tuple
        What it is skipped without: "SPEECHBRAIN_REPO", "sklearn".
    """

    add: str = ""
    replace: Mapping[str, str] = field(default_factory=dict)
    folder: str | None = None
    first: str = ""
    after: tuple[str, ...] = ()
    leaves: str = ""
    says: str = ""
    serves: bool = False
    needs: tuple[str, ...] = ()


# What .ci/run calls by itself, or is.
CI = (
    ".ci/run",
    "make check",
    "make slurm",
    "make slurm check commands",
)

# Commands that prose names without what they need.
MENTIONED = (
    "leanbrain <command>",
    "leanbrain inspect",
    "leanbrain run",
    "compare.py suites/real.yaml",
)

DEMO = "recipes/MultilingualPrompts/ASR/CTC"
TINY = "--number_of_epochs=1 --lstm_neurons=16 --data_folder=$PROMPTS "
TINY += "--languages=[en,es,ru,uk,de] --batches_per_epoch="
DENSE = "python train.py hparams/dense.yaml"
PATHWAYS = (
    "python train.py hparams/pathways.yaml --dense_checkpoint "
    "results/MultilingualPrompts/dense/1234/save"
)
WHISPER = "recipes/MultilingualPrompts/ASR/Whisper"
TINY_WHISPER = "--number_of_epochs=1 --max_batch_s=8 --valid_utterances=2 "
TINY_WHISPER += "--batches_per_epoch="
ON_PROMPTS = {"DATA": "$PROMPTS"}
FIVE = "--data_folder DATA --languages '[de, en, es, ru, uk]'"
# Fetched from the network in the page.
WEIGHTS = "python whisper_prepare.py"
WHISPER_DENSE = f"python train.py hparams/dense.yaml {FIVE}"
COMPARE = "--debug --methods {} --sparsities 0.8"
COMPARE_WHISPER = "python compare.py suites/whisper.yaml --data_folder DATA"

DIGITS = "recipes/SpokenDigits/classification"
FEW = "--number_of_epochs=1 --batches_per_epoch=4 --noise_snrs_db=[10]"
FBANK = "python train.py hparams/fbank.yaml --data_folder DATA"
ON_DIGITS = {"DATA": "$DIGITS"}
FROM_FBANK = {"<run of fbank.yaml>": "results/SpokenDigits/fbank/1234"}
ONE_SEED = {**ON_DIGITS, "--seeds 1 2 3": "--seeds 1"}
ONE_SHARE = {**ONE_SEED, "--train_shares 0.1 1.0": "--train_shares 1.0"}
FRONT_ENDS = (
    "python compare.py --data_folder DATA --results_folder results/compare "
    "--seeds 1 2 3 --front_ends fbank nmf --train_shares 0.1 1.0"
)
SPARSE = "python sparse.py suites/sparse.yaml --data_folder DATA"

LIBRI = "recipes/OptimizerBenchmark/LibriSpeech"
SMALL = "size: 16, vocabulary: 30, batch_size: 4, eval_batch_size: 4"
SMALL += ", data_workers: 0"
RESULTS = "results/OptimizerBenchmark/cpu-embedded-debug"
R = "export R=recipes/OptimizerBenchmark"
SWAP = "leanbrain swap <recipe>/hparams/train.yaml lion"
HERE = {"<recipe>/": ""}

RUN = (
    "leanbrain run train.py hparams/train.yaml --pruning lap --set "
    "sparsity=0.8 --data_folder <data>"
)
CLONE = ("SPEECHBRAIN_REPO",)
REPO = {"<clone>": "$SPEECHBRAIN_REPO"}
A_REPO = {"<a clone>": "$SPEECHBRAIN_REPO"}
INSTALL = {"pip install": "python -m pip install --target $OUT/site --no-deps"}
NO_ISOLATION = "--no-build-isolation --quiet"


# Those of `leanbrain` on a stock recipe, whose files are not here: on a small
# one, whose files are called alike and which has the keys that are overridden.
ON_STOCK = re.compile(r"leanbrain (inspect|run) .*\.yaml\b")
WITH_STOCK = {"<data>": "none", "interval=500": "interval=2"}
# Patterns must match: what the small recipe has.
WITH_STOCK["'feat_proj.*' 'target_quantiser.*'"] = "'classifier.*'"
TOLD = {"inspect": "weights", "run": r"leanbrain: .* masks are final"}

SHORT: dict[str, Short] = {
    # The Makefile
    "make demo": Short("ARGS=--debug", leaves="results/demo/report.html"),
    "make demo ARGS=--debug": Short(
        "RESULTS=results/again", leaves="results/again/report.html"
    ),
    "make demo DATA=<folder>": Short(
        "ARGS=--debug RESULTS=results/mine",
        replace={"<folder>": "$PROMPTS"},
        leaves="results/mine/report.html",
    ),
    "make board": Short("PORT=0", says=r"TensorBoard \d", serves=True),
    "make test": Short(
        "JOBS=1 PYTEST_ADDOPTS="
        "'tests/unittests/core/test_files.py --cov-fail-under=0'",
        says="passed",
    ),
    "make unit": Short(
        "PYTEST_ADDOPTS='--ignore-glob=*/test_[!f]*'", says="passed"
    ),
    "make lint": Short(says="All checks passed"),
    "make format": Short(),
    # Into another folder, and without what it would install.
    "make venv": Short("-n VENV=$OUT/new", says="pip install"),
    "make PYTHON=python3.12 venv": Short(
        "-n VENV=$OUT/new", says="python3.12 -m venv"
    ),
    "make bench": Short("ARGS='--smoke import'", says="== bench_import"),
    "make bench-nmf": Short("ARGS=--smoke", needs=("sklearn",)),
    "make bench-optimizers": Short(
        "ARGS='--debug --optimizers adamw'", leaves=f"{RESULTS}/report.html"
    ),
    "make bench-optimizers ARGS=--debug": Short(
        replace={"--debug": "'--debug --optimizers adamw'"},
        leaves=f"{RESULTS}/report.html",
    ),
    "make commands": Short("-n", says="-m command"),
    "pre-commit install": Short(
        first="git init --quiet $OUT && cp .pre-commit-config.yaml $OUT && "
        "cd $OUT",
        says="pre-commit installed",
    ),
    "pytest --hypothesis-profile=explore": Short(
        "tests/unittests/core/test_files.py", says="passed"
    ),
    # Installing, and the command
    "pip install .": Short(
        NO_ISOLATION, replace=INSTALL, leaves="$OUT/site/leanbrain"
    ),
    'pip install ".[optimizers]"': Short(
        NO_ISOLATION, replace=INSTALL, leaves="$OUT/site/leanbrain"
    ),
    'pip install ".[cluster]"': Short(
        NO_ISOLATION, replace=INSTALL, leaves="$OUT/site/leanbrain"
    ),
    "leanbrain --help": Short(says="inspect"),
    "leanbrain hparams": Short(says="hparams"),
    "leanbrain hparams lap --copy hparams/pruning": Short(
        folder=STOCK, leaves="hparams/pruning/lap.yaml"
    ),
    "leanbrain hparams adamw --copy .": Short(
        folder=STOCK, leaves="adamw.yaml"
    ),
    "leanbrain swap <recipe>.yaml lion": Short(
        replace={"<recipe>": "hparams/train"},
        folder=STOCK,
        leaves="hparams/train_lion.yaml",
    ),
    # Multilingual prompts
    DENSE: Short(
        f"{TINY}4",
        folder=DEMO,
        leaves="results/MultilingualPrompts/dense/1234/result.json",
    ),
    PATHWAYS: Short(
        f"{TINY}20",
        folder=DEMO,
        after=(DENSE,),
        leaves="results/MultilingualPrompts/pathways/1234/masks.pt",
    ),
    "python train.py hparams/pruned.yaml --method lap --pruning "
    "'{sparsity: 0.8}' --dense_checkpoint "
    "results/MultilingualPrompts/dense/1234/save": Short(
        f"{TINY}4",
        folder=DEMO,
        after=(DENSE,),
        leaves="results/MultilingualPrompts/lap/1234/masks.pt",
    ),
    "python compare.py suites/real.yaml --data_folder DATA --dry_run": Short(
        replace={"DATA": "$PROMPTS"}, folder=DEMO, says="to run"
    ),
    "python compare.py suites/real.yaml --data_folder DATA": Short(
        COMPARE.format("dense lap"),
        replace={"DATA": "$PROMPTS"},
        folder=DEMO,
        leaves="results/MultilingualPrompts/compare-real-debug/report.html",
    ),
    "python compare.py suites/embedded.yaml": Short(
        COMPARE.format("dense adaptive"),
        folder=DEMO,
        leaves="results/MultilingualPrompts/compare-embedded-debug/report.html",
    ),
    "python readme_tables.py": Short(folder=DEMO),
    "torchrun --standalone --nproc_per_node 2 train.py <...>": Short(
        f"{TINY}4 --output_folder=$OUT/ranks --distributed_backend=gloo",
        replace={"<...>": "hparams/dense.yaml"},
        folder=DEMO,
        leaves="$OUT/ranks/result.json",
    ),
    "leanbrain export-pathways "
    "results/MultilingualPrompts/pathways/1234": Short(
        folder=DEMO,
        after=(PATHWAYS,),
        leaves="results/MultilingualPrompts/pathways/1234/pathways/ru",
    ),
    # Whisper
    'pip install ".[whisper]"': Short(
        NO_ISOLATION, replace=INSTALL, leaves="$OUT/site/leanbrain"
    ),
    WEIGHTS: Short(
        "--source $WHISPER", folder=WHISPER, leaves="results/whisper/base"
    ),
    "python whisper_prepare.py --source openai/whisper-base --output_folder "
    "results/whisper/hub": Short(
        replace={"openai/whisper-base": "results/whisper/base"},
        folder=WHISPER,
        after=(WEIGHTS,),
        leaves="results/whisper/hub/model.safetensors",
    ),
    WHISPER_DENSE: Short(
        f"{TINY_WHISPER}4",
        replace=ON_PROMPTS,
        folder=WHISPER,
        after=(WEIGHTS,),
        leaves="results/MultilingualPrompts/whisper/dense/1234/result.json",
    ),
    f"python train.py hparams/pathways.yaml {FIVE}": Short(
        f"{TINY_WHISPER}8",
        replace=ON_PROMPTS,
        folder=WHISPER,
        after=(WEIGHTS,),
        leaves="results/MultilingualPrompts/whisper/pathways/1234/masks.pt",
    ),
    "python train.py hparams/pruned.yaml --method lap --pruning "
    f"'{{sparsity: 0.7}}' {FIVE}": Short(
        f"{TINY_WHISPER}4",
        replace=ON_PROMPTS,
        folder=WHISPER,
        after=(WEIGHTS,),
        leaves="results/MultilingualPrompts/whisper/lap/1234/masks.pt",
    ),
    f"{WHISPER_DENSE} --number_of_epochs 0 --window_s 30 --output_folder "
    "results/zero_shot": Short(
        replace=ON_PROMPTS,
        folder=WHISPER,
        after=(WEIGHTS,),
        leaves="results/zero_shot/result.json",
    ),
    f"{COMPARE_WHISPER} --dry_run": Short(
        replace=ON_PROMPTS, folder=WHISPER, after=(WEIGHTS,), says="to run"
    ),
    COMPARE_WHISPER: Short(
        COMPARE.format("lap"),
        replace=ON_PROMPTS,
        folder=WHISPER,
        after=(WEIGHTS,),
        leaves="results/MultilingualPrompts/whisper/compare-whisper-debug/"
        "report.html",
    ),
    # Spoken digits
    FBANK: Short(
        FEW,
        replace=ON_DIGITS,
        folder=DIGITS,
        leaves="results/SpokenDigits/fbank/1234/result.json",
    ),
    "python compare.py --data_folder DATA --seeds 1 2 3 --train_shares "
    "0.1 1.0": Short(
        f"--front_ends fbank --results_folder $OUT/compare {FEW}",
        replace=ONE_SHARE,
        leaves="$OUT/compare/compare.csv",
    ),
    FRONT_ENDS: Short(
        FEW, replace=ONE_SHARE, folder=DIGITS, leaves="results/compare/runs"
    ),
    "python compare.py --data_folder DATA --results_folder results/compare "
    "--seeds 1 2 3 --front_ends nmf_finetuned nmf_noise": Short(
        FEW,
        replace={**ONE_SEED, "_finetuned nmf_noise": "_finetuned"},
        folder=DIGITS,
        leaves="results/compare/runs",
    ),
    "python readme_tables.py --collect real results/compare/runs": Short(
        folder=DIGITS, after=(FRONT_ENDS,), leaves="results/real.csv"
    ),
    "python train.py hparams/pruned.yaml --data_folder DATA --method rigl "
    "--pruning '{sparsity: 0.9}'": Short(
        FEW,
        replace={**ON_DIGITS, "0.9}": "0.9, interval: 1}"},
        folder=DIGITS,
        leaves="results/SpokenDigits/rigl/1234/result.json",
    ),
    "python train.py hparams/pruned.yaml --data_folder DATA --method lap "
    "--pruning '{sparsity: 0.9}' --dense_checkpoint "
    "<run of fbank.yaml>/save": Short(
        FEW,
        replace={**ON_DIGITS, **FROM_FBANK},
        folder=DIGITS,
        after=(FBANK,),
        leaves="results/SpokenDigits/lap/1234/result.json",
    ),
    "python train.py hparams/pruned.yaml --data_folder DATA --method rigl "
    "--pruning '{sparsity: 0.9, first_by_magnitude: True}' "
    "--dense_checkpoint <run of fbank.yaml>/save": Short(
        f"{FEW} --output_folder $OUT/rigl",
        replace={**ON_DIGITS, **FROM_FBANK, "0.9,": "0.9, interval: 1,"},
        folder=DIGITS,
        after=(FBANK,),
        leaves="$OUT/rigl/result.json",
    ),
    f"{SPARSE} --methods dense gradual one_shot rigl ggr": Short(
        "--debug",
        replace={**ON_DIGITS, "one_shot rigl ggr": ""},
        folder=DIGITS,
        leaves="results/SpokenDigits/sparse-debug/sparse.csv",
    ),
    SPARSE: Short(
        "--debug --dry_run", replace=ON_DIGITS, folder=DIGITS, says="set at 0.9"
    ),
    "cp results/SpokenDigits/sparse/sparse.csv results/ && "
    "python readme_tables.py": Short(
        replace={"SpokenDigits/sparse/": "SpokenDigits/sparse-debug/"},
        folder=DIGITS,
        after=(f"{SPARSE} --methods dense gradual one_shot rigl ggr",),
    ),
    # The optimizer benchmark
    'make bench-optimizers DATA=<folder> ARGS="--set_targets --targets '
    'mine.json"': Short(
        replace={
            "<folder>": "$DIGITS",
            '"--set': '"--debug --workloads digits --set',
        },
        leaves="mine.json",
    ),
    'make bench-optimizers DATA=<folder> ARGS="--targets mine.json"': Short(
        replace={
            "<folder>": "$DIGITS",
            '"--targets': '"--debug --workloads digits --optimizers adamw '
            "--targets",
        },
        after=(
            "make bench-optimizers DATA=<folder> "
            'ARGS="--set_targets --targets mine.json"',
        ),
        leaves="results/OptimizerBenchmark/cpu-real-debug/report.html",
    ),
    "leanbrain bench-optimizers $R/suites/cpu.yaml --optimizers adamw lion "
    "my_own.yaml": Short(
        "--debug --workloads digits --results_folder $OUT/own",
        first=f"{R}; leanbrain hparams adamw --copy $OUT && "
        "sed 's/^name: .*/name: my_own/' $OUT/adamw.yaml > my_own.yaml",
        leaves="$OUT/own/report.html",
    ),
    "leanbrain bench-optimizers $R/suites/cpu.yaml --set_targets --targets "
    "mine.json": Short(
        "--debug --workloads digits",
        replace={"mine.json": "$OUT/mine.json"},
        first=R,
        leaves="$OUT/mine.json",
    ),
    "leanbrain bench-optimizers $R/suites/librispeech.yaml --data_folder "
    "<above LibriSpeech>": Short(
        "--debug --optimizers nadamw --workloads conformer --workers 1 "
        f"--overrides '{{{SMALL}, layers: 1, heads: 2, budget_s: 0.2, "
        "eval_period_s: 0.1}'",
        replace={
            "<above LibriSpeech>": "$LIBRISPEECH",
            "$R/suites/librispeech.yaml": "$OUT/librispeech.yaml",
        },
        # On this machine: neither a cluster nor eight processes on GPUs.
        first=f"{R}; sed -e '/^backend:/,$d' -e 's/^processes: 8/processes: 1/'"
        " -e 's/^device: cuda/device: cpu/' -e s,'\\.\\./Lib',$PWD/$R/Lib,"
        " $R/suites/librispeech.yaml > $OUT/librispeech.yaml",
        leaves="results/OptimizerBenchmark/librispeech-real-debug/report.html",
    ),
    "leanbrain optimizer-report <folder>": Short(
        replace={"<folder>": RESULTS},
        after=("make bench-optimizers",),
        leaves=f"{RESULTS}/report.html",
    ),
    "leanbrain trials <folder> --repair": Short(
        replace={"<folder>": RESULTS}, after=("make bench-optimizers",)
    ),
    SWAP: Short(replace=HERE, folder=STOCK, leaves="hparams/train_lion.yaml"),
    "python train.py <recipe>/hparams/train_lion.yaml ...": Short(
        replace={**HERE, "...": "--data_folder none"},
        folder=STOCK,
        after=(SWAP,),
        leaves="results/train/save",
    ),
    "python train.py hparams/lstm_ctc.yaml --optimizer adamw --set "
    "lr=1e-2": Short(
        "--debug",
        leaves="results/OptimizerBenchmark/lstm_ctc_base/adamw/1234/result.json",
    ),
    "python train.py hparams/digits.yaml --variant gelu --data_folder "
    "DATA": Short(
        "--debug",
        replace=ON_DIGITS,
        leaves="results/OptimizerBenchmark/digits_gelu/adamw/1234/result.json",
    ),
    "tensorboard --logdir <output_folder>": Short(
        "--port 0",
        replace={"<output_folder>": "results/train"},
        folder=STOCK,
        after=(RUN,),
        says=r"TensorBoard \d",
        serves=True,
    ),
    "tensorboard --logdir results": Short(
        "--port 0", says=r"TensorBoard \d", serves=True
    ),
    "leanbrain bench-optimizers ../suites/cpu.yaml": Short(
        "--debug --optimizers adamw --workloads digits "
        "--results_folder $OUT/cpu",
        folder="recipes/OptimizerBenchmark/CPU",
        leaves="$OUT/cpu/report.html",
    ),
    "python train.py hparams/conformer.yaml --data_folder "
    "<folder above LibriSpeech> --optimizer nadamw": Short(
        f"--budget_steps 2 --overrides '{{{SMALL}, layers: 1, heads: 2}}' "
        "--output_folder $OUT/libri",
        replace={"<folder above LibriSpeech>": "$LIBRISPEECH"},
        folder=LIBRI,
        leaves="$OUT/libri/result.json",
    ),
    "torchrun --standalone --nproc_per_node 8 train.py "
    "hparams/deepspeech.yaml --data_folder <...> --optimizer muon_adamw "
    "--set lr=2e-3 --variant tanh": Short(
        f"--budget_steps 2 --overrides '{{{SMALL}, lstm_layers: 1, "
        "feed_layers: 1}' --device cpu --output_folder $OUT/libri",
        replace={"<...>": "$LIBRISPEECH", "node 8": "node 2"},
        folder=LIBRI,
        leaves="$OUT/libri/result.json",
    ),
    "python train.py --help": Short(folder=LIBRI, says="--budget_steps"),
    # NMF
    "python tests/benchmarks/nmf_page.py": Short(leaves="docs/nmf_figures.md"),
    "python tests/benchmarks/bench_nmf_denoise.py": Short(
        "--smoke", says="babble"
    ),
    # SpeechBrain's own tests and recipes
    "make host-tests": Short("ARGS=layers", says="layers", needs=CLONE),
    "make host-tests SPEECHBRAIN_REPO=<clone of "
    "speechbrain/speechbrain>": Short(
        "ARGS=layers",
        replace={"<clone of speechbrain/speechbrain>": "$SPEECHBRAIN_REPO"},
        says="layers",
        needs=CLONE,
    ),
    "SPEECHBRAIN_REPO=<clone> tests/host/run_host_tests.sh layers": Short(
        replace=REPO, leaves="results/host_tests", needs=CLONE
    ),
    "SPEECHBRAIN_REPO=<a clone> python tests/host/try_families.py --json "
    "tests/host/results/families.json --markdown "
    "docs/prune_your_recipe/README.md": Short(
        "CRDNN", replace=A_REPO, needs=CLONE
    ),
    "SPEECHBRAIN_REPO=<a clone> python tests/host/left_dense.py --json "
    "tests/host/results/left_dense.json --markdown "
    "docs/prune_your_recipe/README.md": Short(
        "CRDNN", replace=A_REPO, needs=CLONE
    ),
    "SPEECHBRAIN_REPO=<a clone> python tests/host/check_pages.py --json "
    "tests/host/results/pages.json --markdown "
    "docs/prune_your_recipe/README.md": Short(
        "crdnn", replace=A_REPO, needs=CLONE
    ),
    "python tests/host/host_table.py results/host_tests recipes layers "
    "sparsity_0 sparsity_30 --markdown docs/host_tests.md": Short(
        replace={"recipes layers sparsity_0 sparsity_30": "layers"},
        after=("SPEECHBRAIN_REPO=<clone> tests/host/run_host_tests.sh layers",),
        needs=CLONE,
    ),
    # Stock recipes
    "leanbrain hparams adaptive --copy hparams/pruning": Short(
        folder=STOCK, leaves="hparams/pruning/adaptive.yaml"
    ),
    "leanbrain export-pathways <run>": Short(
        replace={"<run>": "results/train"},
        folder=STOCK,
        after=(RUN,),
        leaves="results/train/pathways/all",
    ),
    "leanbrain export-pathways results/my_run": Short(
        replace={"my_run": "train"},
        folder=STOCK,
        after=(RUN,),
        leaves="results/train/pathways/all",
    ),
    "leanbrain export-pathways results/my_run --min_key WER --pathway en "
    "--output for_english": Short(
        replace={"my_run": "train", "WER": "loss", "way en": "way all"},
        folder=STOCK,
        after=(RUN,),
        leaves="for_english/all",
    ),
    'python train.py hparams/train.yaml --pruning="{sparsity: 0.8}"': Short(
        "--data_folder none",
        folder=STOCK,
        # What the page says before: the method's file, and the change.
        first="python $HERE/edited_recipe.py hparams/train.yaml",
        after=("leanbrain hparams lap --copy hparams/pruning",),
        leaves="results/train/save",
    ),
    "torchrun --nproc_per_node=4 -m leanbrain run train.py "
    "hparams/train.yaml ..": Short(
        "--device=cpu --distributed_backend=gloo",
        replace={
            "torchrun --nproc_per_node=4": "torchrun --standalone "
            "--nproc_per_node=2",
            "..": "--pruning lap --set sparsity=0.5 --data_folder none",
        },
        folder=STOCK,
        says=TOLD["run"],
    ),
}


def short_form(text: str) -> Short | None:
    """How a command is run; None if nobody has said it.

    Arguments
    ---------
    text : str
        As it stands in a page, on one line.
    """
    if text in SHORT:
        return SHORT[text]
    found = ON_STOCK.match(text)
    if found is None:
        return None
    replace = {x: y for x, y in WITH_STOCK.items() if x in text}
    return Short(replace=replace, folder=STOCK, says=TOLD[found[1]])
