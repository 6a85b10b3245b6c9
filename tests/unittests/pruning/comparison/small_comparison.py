"""A small suite, and a stand-in for the recipe that it runs."""

from leanbrain.pruning.comparison.cells import Site
from leanbrain.pruning.comparison.suite import MasksFrom, Method, Steps, Suite

# In the place of the recipe: trains nothing, but leaves a result.
TRAIN = """
import json, pathlib, sys
words = [x[2:].partition("=") for x in sys.argv[2:] if x.startswith("--")]
options = {k: json.loads(v) if v else True for k, _, v in words}
if options.get("method") == "broken":
    sys.exit("this method is broken")
masks = options.get("pruning", {}).get("initial_masks", {})
files = [masks] if isinstance(masks, str) else list(masks.values())
assert all(pathlib.Path(x).exists() for x in files), files
if "dense_checkpoint" in options:
    assert pathlib.Path(options["dense_checkpoint"]).is_dir()
folder = pathlib.Path(options["output_folder"])
(folder / "save").mkdir()
(folder / "masks.pt").touch()
result = {"options": options, "entry": pathlib.Path(sys.argv[1]).name}
(folder / "result.json").write_text(json.dumps(result))
"""
METHODS = ("none", "lap", "lsp", "fixed_pathways", "broken")


def make_site(folder):
    """A recipe with the stand-in, files of methods, manifests, no results."""
    site = Site(*(folder / x for x in ("recipe", "methods", "data", "results")))
    (site.recipe / "hparams").mkdir(parents=True)
    (site.recipe / "train.py").write_text(TRAIN)
    dense = "number_of_epochs: 2\nbatches_per_epoch: 5\nmodel: !new:a.B\n"
    (site.recipe / "hparams" / "dense.yaml").write_text(dense)
    (site.recipe / "hparams" / "pruned.yaml").write_text("lr: 0.1\n")
    site.methods.mkdir()
    for name in METHODS:
        (site.methods / f"{name}.yaml").write_text(f"is: {name}\n")
    site.data.mkdir()
    for split in ("train", "valid", "test"):
        (site.data / f"{split}.csv").write_text("ID\n")
    return site


def make_suite(methods=None, **changes):
    """A suite of two languages and one seed."""
    settings = {
        "name": "small",
        "languages": ["en", "ru"],
        "seeds": [1],
        "steps": Steps(3, 20),
        "overrides": {"lr": 0.2},
        "start": {"lstm_neurons": 8},
        "methods": methods or default_methods(),
    }
    return Suite(**{**settings, **changes})


def default_methods():
    """Masks per language, and pathways that are fixed to them."""
    fixed = "fixed_pathways"
    return [
        Method("dense", "none", [0.0]),
        Method("lap", "lap", [0.5, 0.8], {"heal": 0.2}),
        Method("lsp", "lsp", [0.8], per_language=True, budget=0.25),
        Method("fixed", fixed, [0.8], masks_from=MasksFrom("lsp")),
        Method("of_lap", fixed, [0.8], masks_from=MasksFrom("lap", 0.5)),
    ]
