"""SpeechBrain's examples of the layers that ours stand for, run with ours.

Run by run_host_tests.sh with host_layers, which puts ours in their place:
most of these layers have no unit test of their own, but an example.
"""

import doctest
import sys

import pytest
from host_layers import LAYERS, counterparts


def examples():
    """The example of every layer that has one, by the layer's name."""
    finder = doctest.DocTestFinder(recurse=False)
    for name, (stock, _) in counterparts(LAYERS).items():
        names = dict(vars(sys.modules[stock.__module__]))
        for found in finder.find(stock, name, globs=names):
            if found.examples:
                yield found


@pytest.mark.parametrize("example", examples(), ids=lambda found: found.name)
def test_example(example, pytestconfig):
    """Prints what SpeechBrain says, by our layer."""
    report = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(example, out=report.append)
    assert not runner.failures, "".join(report)
    # Without host_layers, where failures run once more, it is the stock layer.
    ran = getattr(pytestconfig, "host_layers_ran", {example.name})
    assert example.name in ran, f"{example.name} is not ours"
