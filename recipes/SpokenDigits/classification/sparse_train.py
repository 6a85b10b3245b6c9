"""A training as a trial of the engine, in the worker's own process.

Many short runs: the libraries are loaded once, and the audio is read once.
"""

from leanbrain.files import read_json
from leanbrain.hyperyaml import fill_places


def run(config, folder, *, places):
    """Runs train.py's `main` and returns what it leaves.

    Arguments
    ---------
    config : dict
        "arguments" are those of the command line; text in braces stands for
        a place. Other keys are part of the trial's identity only.
    folder : Path
        Empty folder of the trial.
    places : dict
        Name in braces -> what it stands for on this machine.

    Returns
    -------
    dict
        The content of result.json.
    """
    import train

    places = {**places, "folder": str(folder)}
    words = [fill_places(word, places) for word in config["arguments"]]
    train.main([*words, "--noprogressbar"])
    return read_json(folder / "result.json")
