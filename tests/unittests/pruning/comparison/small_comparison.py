"""A small suite, and a stand-in for the recipe that it runs."""

from leanbrain.dataio.manifests import COLUMNS, write_manifest
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
if options.get("dense_checkpoint"):
    assert pathlib.Path(options["dense_checkpoint"]).is_dir()
folder = pathlib.Path(options["output_folder"])
(folder / "save").mkdir()
(folder / "masks.pt").touch()
result = {"options": options, "entry": pathlib.Path(sys.argv[1]).name}
(folder / "result.json").write_text(json.dumps(result))
"""
METHODS = ("none", "lap", "lsp", "fixed_pathways", "broken")
# What files of methods say, as far as a plan looks at it.
METHOD = """
is: {name}
total_steps: !PLACEHOLDER
pathways: !PLACEHOLDER
{more}
sparsity: 0.7
interval: 5
heal: 0.3
pruner: !new:leanbrain.pruning.AdaptivePruner
    total_steps: !ref <total_steps>
    pathways: [all]
    interval: !ref <interval>
    heal: !ref <heal>
    schedule: !name:leanbrain.pruning.schedules.constant
        sparsity: !ref <sparsity>
"""


def make_site(folder):
    """A recipe with the stand-in, files of methods, manifests, no results."""
    site = Site(*(folder / x for x in ("recipe", "methods", "data", "results")))
    (site.recipe / "hparams").mkdir(parents=True)
    (site.recipe / "train.py").write_text(TRAIN)
    dense = "number_of_epochs: 2\nbatches_per_epoch: 5\nmodel: !new:a.B\n"
    dense += "lstm_neurons: 16\n"
    (site.recipe / "hparams" / "dense.yaml").write_text(dense)
    (site.recipe / "hparams" / "pruned.yaml").write_text("lr: 0.1\n")
    site.methods.mkdir()
    for name in METHODS:
        more = "initial_masks: !PLACEHOLDER" if name == "fixed_pathways" else ""
        text = METHOD.format(name=name, more=more)
        (site.methods / f"{name}.yaml").write_text(text)
    site.data.mkdir()
    write_data(site, "en", "ru")
    return site


def write_data(site, *languages):
    """Manifests of some languages, an utterance each."""
    for split in ("train", "valid", "test"):
        rows = [
            dict(zip(COLUMNS, [x, 1.0, f"/{x}.flac", x, x, "abc"], strict=True))
            for x in languages
        ]
        write_manifest(site.data / f"{split}.csv", rows)


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
        Method("of_lap", fixed, [0.5], masks_from=MasksFrom("lap", 0.5)),
    ]
