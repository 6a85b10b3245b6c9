#!/usr/bin/env python3
"""One workload on LibriSpeech, trained by one optimizer to AlgoPerf's target.

To run this recipe, do the following:
> python train.py hparams/conformer.yaml --data_folder <folder> \\
    --optimizer ../../../hparams/optimizers/nadamw.yaml
> torchrun --standalone --nproc_per_node 8 train.py hparams/deepspeech.yaml \\
    --data_folder <folder> --optimizer <...> --variant tanh --set lr=5e-3

<folder> holds LibriSpeech/ with the folders of openslr.org/12. The result is
written to <output_folder>/result.json.
"""

import argparse
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
import yaml
from ruamel.yaml import YAML

from leanbrain._host import import_speechbrain, user_errors
from leanbrain.checks import UserError, check_int, check_known
from leanbrain.files import write_json

FOLDER = Path(__file__).resolve().parent
METRIC = "test_wer_percent"


def parse(arguments):
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("workload", help="hparams/conformer.yaml or hparams/deepspeech.yaml")
    add("--data_folder", required=True, help="holds LibriSpeech/")
    add("--optimizer", required=True, help="YAML file of hparams/optimizers")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a number of the optimizer's file, such as lr=1e-3; repeatable",
    )
    add("--variant", help="a held-out variant of the workload")
    add("--seed", type=int, default=1234)
    add("--device", help="cpu or cuda (default: cuda where there is one)")
    add("--threads", type=int, default=1, help="of torch, in each process")
    add(
        "--budget_steps",
        type=int,
        help="stop after so many steps, and evaluate every\n"
        "`eval_every_steps`, in place of the workload's seconds",
    )
    add("--output_folder", help="(default: results/LibriSpeech/<...>)")
    add(
        "--overrides",
        default="{}",
        help="YAML mapping of keys of the workload, such as '{dropout: 0.2}'",
    )
    return parser.parse_args(arguments)


def mapping(name, text):
    """A YAML mapping from the command line."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict):
        raise UserError(f"`{name}` must be a YAML mapping, got {text!r}.")
    return found


def hyperparameters(pairs):
    """KEY=VALUE -> numbers by name."""
    found = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        try:
            found[key] = float(value)
        except ValueError:
            raise UserError(
                f"`set` must be KEY=NUMBER, got {pair!r}."
            ) from None
    return found


def read(path):
    """The text of a file that the user named."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} must be a file ({error.strerror}).") from error


def plan(chosen):
    """The trial's configuration, and the values of the workload's YAML."""
    keys = YAML(typ="rt").load(read(chosen.workload))
    overrides = mapping("overrides", chosen.overrides)
    if chosen.variant is not None:
        check_known("variant", chosen.variant, keys["variants"])
    keys = {**keys, **overrides}
    if chosen.budget_steps is None:
        length = {key: keys[key] for key in ("budget_s", "eval_period_s")}
    else:
        steps = check_int("budget_steps", chosen.budget_steps, low=1)
        every = min(steps, keys["eval_every_steps"])
        length = {"budget_steps": steps, "eval_every_steps": every}
    config = {
        "kind": "score",
        "data": "LibriSpeech",
        "workload": os.path.relpath(chosen.workload, FOLDER),
        "variant": chosen.variant,
        "optimizer": Path(chosen.optimizer).stem,
        "optimizer_yaml": read(chosen.optimizer),
        "hyperparameters": hyperparameters(chosen.set),
        "seed": check_int("seed", chosen.seed, low=0),
        "total_steps": keys["total_steps"],
        **length,
        "metric": keys["metric"],
        "target": keys["targets"][chosen.variant or "base"],
        "threads": chosen.threads,
        "overrides": overrides,
    }
    return config, keys["test_targets"][chosen.variant or "base"]


def join_group(device):
    """Joins the other processes that torchrun started; says which device.

    Arguments
    ---------
    device : str | None
        "cpu", "cuda" or None.

    Returns
    -------
    str
        The device of this process.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    local = os.environ.get("LOCAL_RANK")
    if local is None:
        return device
    on_cpu = device == "cpu"
    if not on_cpu:
        device = f"cuda:{local}"
    from speechbrain.utils.distributed import ddp_init_group

    ddp_init_group({"distributed_backend": "gloo" if on_cpu else "nccl"})
    return device


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
    folder = Path(
        chosen.output_folder
        or f"results/LibriSpeech/{name}/{config['optimizer']}/{chosen.seed}"
    )
    import_speechbrain()
    from leanbrain.optbench.trials.trial import run

    device = join_group(chosen.device)
    result = run(config, folder, str(FOLDER), chosen.data_folder, device)
    if not dist.is_initialized() or dist.get_rank() == 0:
        result["test_target"] = test_target
        write_json(folder / "result.json", {"config": config, **result})
        tell(config, result, test_target)
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    with user_errors():
        main(sys.argv[1:])
