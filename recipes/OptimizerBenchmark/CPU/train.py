#!/usr/bin/env python3
"""One small workload on spoken digits, trained by one optimizer.

To run this recipe, do the following:
> python train.py hparams/lstm_ctc.yaml --optimizer lion
> python train.py hparams/digits.yaml --optimizer <...> --set lr=3e-3 \\
    --variant gelu --data_folder <folder of manifests>

Without --data_folder, digits are synthesised on the spot. <output_folder>
gets result.json, train_log.txt and TensorBoard's curves.
"""

# Where other settings are read (SpeechBrain's checker looks here only):
#   leanbrain/optbench/trials/workload.py: hparams.make_brain hparams.modules
#     hparams.data hparams.variants
#   digit_ctc.py: hparams.augment

import argparse
import sys
from pathlib import Path

from leanbrain._host import import_speechbrain, user_errors
from leanbrain.checks import check_int
from leanbrain.experiments.processes import check_alone
from leanbrain.files import make_folder, write_json
from leanbrain.optbench.trials.single import (
    add_options,
    common_config,
    workload_keys,
)

FOLDER = Path(__file__).resolve().parent


def parse(arguments):
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_options(parser, "{channels: 32}")
    add = parser.add_argument
    add("--optimizer", default="adamw", help="name or YAML file (adamw)")
    add("--data_folder", help="folder of train.csv and valid.csv")
    add("--output_folder", help="(default: results/OptimizerBenchmark/<...>)")
    add("--total_steps", type=int, help="of the schedule, and to train")
    add("--target", type=float, help="stop when the metric is at most this")
    add("--device", default="cpu", help="cpu or cuda")
    add("--debug", action="store_true", help="train for three steps")
    return parser.parse_args(arguments)


def plan(chosen):
    """The trial's configuration."""
    keys = workload_keys(chosen)
    steps = keys["total_steps"]
    if chosen.total_steps is not None:
        steps = check_int("total_steps", chosen.total_steps, low=1)
    every = min(steps, keys["eval_every_steps"])
    return common_config(chosen, FOLDER) | {
        "data": "synthetic" if chosen.data_folder is None else "real",
        "total_steps": steps,
        "budget_steps": 3 if chosen.debug else steps,
        "eval_every_steps": 1 if chosen.debug else every,
        "metric": keys["metric"],
        "target": chosen.target,
    }


def log(folder, config, result):
    """Writes the curves as SpeechBrain's loggers do."""
    from speechbrain.utils.train_logger import FileTrainLogger

    from leanbrain.loggers import FanOutLogger, TensorBoardLogger

    board = TensorBoardLogger(folder / "tensorboard")
    logger = FanOutLogger(
        loggers=[FileTrainLogger(folder / "train_log.txt"), board]
    )
    for point in result["curve"]:
        logger.log_stats(
            {"step": point["step"], "seconds": point["step_s"]},
            train_stats={"loss": point["train_loss"]},
            valid_stats=point["valid"],
        )
    board.close()
    write_json(folder / "result.json", {"config": config, **result})


def tell(config, result):
    """One line on what came out."""
    reached = result["steps_to_target"]
    how = "" if reached is None else f", target reached at step {reached}"
    best = "none" if result["best"] is None else f"{result['best']:.2f}"
    print(
        f"{config['optimizer']}: {result['status']}, best "
        f"{config['metric']} {best} in {result['steps']} steps{how}"
    )
    if result["reason"]:
        print(result["reason"])


def main(arguments):
    """Trains, and writes what came out."""
    check_alone("A workload of this recipe")
    chosen = parse(arguments)
    config = plan(chosen)
    name = f"{Path(chosen.workload).stem}_{chosen.variant or 'base'}"
    folder = make_folder(
        chosen.output_folder
        or f"results/OptimizerBenchmark/{name}/{config['optimizer']}/"
        f"{chosen.seed}"
    )
    import_speechbrain()
    from leanbrain.optbench.trials.trial import run

    result = run(config, folder, str(FOLDER), chosen.data_folder, chosen.device)
    log(folder, config, result)
    tell(config, result)


if __name__ == "__main__":
    with user_errors():
        main(sys.argv[1:])
