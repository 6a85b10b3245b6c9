"""What is left dense by default in each family of recipes, and foretold."""

from fnmatch import fnmatchcase

import pytest
import torch
from small_families import FAMILIES
from torch import nn

from leanbrain.masking._usual_names import in_discriminator
from leanbrain.masking.targets import explain_targets
from leanbrain.masking.usage import UsageWatch

# No matrix that is multiplied and trained: no pattern is needed.
BY_KIND = ("frozen", "a bias", "a vector", "of a norm layer", "an embedding")


@pytest.mark.parametrize(
    "family", FAMILIES, ids=lambda builder: builder.__name__
)
def test_the_default_is_right_and_needs_no_step(family):
    torch.manual_seed(0)
    modules, run = family()
    model = nn.ModuleDict(modules)
    rows = explain_targets(model)
    critics = {id(t.parameter) for t, _ in rows if in_discriminator(t.name)}
    watch = UsageWatch(model, critics)
    run(modules)
    used = watch.finish()
    matrices = [(t, why) for t, why in rows if why not in BY_KIND]
    dense = {
        target.name
        for target, _ in matrices
        if any(fnmatchcase(target.name, x) for x in FAMILIES[family])
    }
    by_name = {target.name for target, why in matrices if why is not None}
    by_use = {t.name for t, _ in matrices if id(t.parameter) in used}
    # Names alone say it, so that `leanbrain inspect` foretells it; how
    # matrices are used adds nothing. Where the output of a layer goes on,
    # into a postnet, names say what use cannot.
    assert by_name == dense and by_use <= by_name
    assert any(why is None for _, why in matrices)
