#!/usr/bin/env python3
"""Which pruning method is best: methods x sparsities x seeds, equal budgets.

To run this recipe, do the following:
> python compare.py suites/embedded.yaml
> python compare.py suites/real.yaml --data_folder <folder of manifests>
> python compare.py suites/real.yaml --data_folder <...> --dry_run
> python compare.py suites/real.yaml --data_folder <...> --debug
> python compare.py suites/real.yaml --data_folder <...> --seeds 1
> python compare.py suites/real.yaml --data_folder <...> --only_report
> python compare.py suites/real.yaml --data_folder <...> \
    --methods parp --retry done

Without --data_folder, speech is synthesised on the spot. The same command
once more goes on where an interrupted one was. Whatever part of the suite is
asked for, the report is of all that has been run. A run is known by its YAML
files, options and data, not by the code: after a change of that, the last
command runs a method again.
"""

import sys
from pathlib import Path

from comparing import Recipe, compare

from leanbrain._host import user_errors

RECIPE = Recipe(
    folder=Path(__file__).resolve().parent,
    results=Path("results/MultilingualPrompts"),
    about=__doc__,
    debug={"lstm_neurons": 16, "warmup_steps": 1, "max_batch_s": 4.0},
)

if __name__ == "__main__":
    with user_errors():
        compare(RECIPE, sys.argv[1:])
