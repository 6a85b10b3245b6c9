#!/usr/bin/env python3
"""One workload on LibriSpeech, trained by one optimizer to AlgoPerf's target.

To run this recipe, do the following:
> python train.py hparams/conformer.yaml --data_folder <folder> \\
    --optimizer nadamw
> torchrun --standalone --nproc_per_node 8 train.py hparams/deepspeech.yaml \\
    --data_folder <folder> --optimizer <...> --variant tanh --set lr=5e-3

<folder> holds LibriSpeech/ with the folders of openslr.org/12. The result is
written to <output_folder>/result.json.
"""

# Where other settings are read (SpeechBrain's checker looks here only):
#   train.py: hparams.budget_s hparams.eval_period_s
#   leanbrain/optbench/trials/workload.py: hparams.make_brain hparams.modules
#     hparams.data hparams.variants
#   leanbrain/optbench/suite/workload_file.py: hparams.data_files
#     hparams.has_embedded_data
#   librispeech_brain.py: hparams.hop_samples hparams.measure_test

import argparse
import sys
from pathlib import Path

from leanbrain._host import import_speechbrain, user_errors
from leanbrain.checks import check_int
from leanbrain.files import make_folder, write_json
from leanbrain.optbench.trials.single import (
    add_options,
    common_config,
    workload_keys,
)

FOLDER = Path(__file__).resolve().parent
METRIC = "test_wer_percent"


def parse(arguments):
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_options(parser, "{dropout: 0.2}")
    add = parser.add_argument
    add("--data_folder", required=True, help="holds LibriSpeech/")
    add("--optimizer", required=True, help="name or YAML file")
    add("--device", help="cpu or cuda (default: cuda where there is one)")
    add(
        "--budget_steps",
        type=int,
        help="stop after so many steps, and evaluate every\n"
        "`eval_every_steps`, in place of the workload's seconds",
    )
    add("--output_folder", help="(default: results/LibriSpeech/<...>)")
    return parser.parse_args(arguments)


def plan(chosen):
    """The trial's configuration, and the target on the test set."""
    keys = workload_keys(chosen)
    if chosen.budget_steps is None:
        length = {key: keys[key] for key in ("budget_s", "eval_period_s")}
    else:
        steps = check_int("budget_steps", chosen.budget_steps, low=1)
        every = min(steps, keys["eval_every_steps"])
        length = {"budget_steps": steps, "eval_every_steps": every}
    which = chosen.variant or "base"
    config = common_config(chosen, FOLDER) | {
        "data": "LibriSpeech",
        "total_steps": keys["total_steps"],
        **length,
        "metric": keys["metric"],
        "target": keys["targets"][which],
    }
    return config, keys["test_targets"][which]


def tell(config, result, test_target):
    """One paragraph on what came out."""
    last = result["curve"][-1]["valid"] if result["curve"] else {}
    reached = result["steps_to_target"]
    how = "not reached" if reached is None else f"reached at step {reached}"
    print(
        f"{config['optimizer']}: {result['status']}, target "
        f"{config['target']} % {how}, best {result['best']} %, "
        f"{result['steps']} steps, {result['parameters']:,} parameters"
    )
    if METRIC in last:
        print(f"test: {last[METRIC]:.2f} % (AlgoPerf's target {test_target} %)")
    if result["reason"]:
        print(result["reason"])


def main(arguments):
    """Trains, and writes what came out."""
    chosen = parse(arguments)
    config, test_target = plan(chosen)
    name = f"{Path(chosen.workload).stem}_{chosen.variant or 'base'}"
    folder = make_folder(
        chosen.output_folder
        or f"results/LibriSpeech/{name}/{config['optimizer']}/{chosen.seed}"
    )
    import_speechbrain()
    from speechbrain.utils.distributed import if_main_process

    from leanbrain.optbench.trials.ranks import join_ranks, leave_ranks
    from leanbrain.optbench.trials.trial import run

    device = join_ranks(chosen.device)
    result = run(config, folder, str(FOLDER), chosen.data_folder, device)
    if if_main_process():
        result["test_target"] = test_target
        write_json(folder / "result.json", {"config": config, **result})
        tell(config, result, test_target)
    leave_ranks()


if __name__ == "__main__":
    with user_errors():
        main(sys.argv[1:])
