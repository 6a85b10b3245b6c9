#!/usr/bin/env python3
"""Which pruning method is best for Whisper: methods x sparsities x seeds.

To run this recipe, do the following:
> python whisper_prepare.py
> python compare.py suites/whisper.yaml --data_folder <folder of manifests>
> python compare.py suites/whisper.yaml --data_folder <...> --dry_run
> python compare.py suites/whisper.yaml --data_folder <...> --debug
> python compare.py suites/whisper.yaml --data_folder <...> --only_report
> python compare.py suites/whisper.yaml --data_folder <...> \
    --methods lap --retry done

All methods begin with the pre-trained Whisper and take as many steps. The same
command once more goes on where an interrupted one was: with the runs that had
not ended. Whatever part of the suite is asked for, the report is of all that
has been run. A run is known by its YAML files, options, data and Whisper, not
by the code: after a change of that, the last command runs a method again.
"""

import sys
from pathlib import Path

from comparing import Recipe, compare
from whisper_source import DEFAULT, as_input

from leanbrain._host import user_errors

RECIPE = Recipe(
    folder=Path(__file__).resolve().parent,
    results=Path("results/MultilingualPrompts/whisper"),
    about=__doc__,
    debug={"warmup_steps": 1, "max_batch_s": 8.0, "valid_utterances": 2},
    options={
        "--whisper_source": {
            "default": DEFAULT,
            "help": "folder that whisper_prepare.py makes, or a name on the hub"
            f" (default: {DEFAULT})",
        }
    },
    inputs=lambda options: (as_input(options.whisper_source),),
)

if __name__ == "__main__":
    with user_errors():
        compare(RECIPE, sys.argv[1:])
