"""Plugin of pytest: our mask-aware layers in place of SpeechBrain's.

Use: python -m pytest -p host_layers <tests of SpeechBrain>
"""

import importlib
import pkgutil
import sys

import pytest
from torch.nn.modules.module import register_module_forward_pre_hook

LAYERS = "leanbrain.masking.nnet"


def counterparts(package):
    """Pairs every public layer with SpeechBrain's of the same name.

    Arguments
    ---------
    package : str
        Its public modules are looked through. A class belongs to the one of
        SpeechBrain that it derives from and shares its name with.

    Returns
    -------
    dict
        Module and name of our class -> (SpeechBrain's class, our class).
    """
    pairs = {}
    folder = importlib.import_module(package).__path__
    for found in pkgutil.iter_modules(folder):
        if found.name.startswith("_"):
            continue
        module = importlib.import_module(f"{package}.{found.name}")
        for name in module.__all__:
            layer = getattr(module, name)
            stock = stock_class(layer)
            if stock is not None:
                pairs[f"{found.name}.{name}"] = (stock, layer)
    return pairs


def stock_class(layer):
    """SpeechBrain's class that a layer stands for, or None."""
    for base in getattr(layer, "__mro__", ())[1:]:
        host = base.__module__.split(".")[0] == "speechbrain"
        if host and base.__name__ == layer.__name__:
            return base
    return None


def patch(pairs):
    """Puts our classes wherever a loaded module names SpeechBrain's.

    Arguments
    ---------
    pairs : dict
        As `counterparts` returns it.

    Returns
    -------
    list
        (module, name, SpeechBrain's class) of every place, for `restore`.
    """
    ours = {id(stock): layer for stock, layer in pairs.values()}
    places = []
    for module in list(sys.modules.values()):
        # Our own modules derive from SpeechBrain's classes.
        if getattr(module, "__name__", "").split(".")[0] == "leanbrain":
            continue
        # vars: asking a lazy module for an attribute would import it.
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if id(value) in ours:
                setattr(module, name, ours[id(value)])
                places.append((module, name, value))
    return places


def restore(places):
    """Undoes `patch`."""
    for module, name, stock in places:
        setattr(module, name, stock)


def watch(pairs, ran):
    """Notes which of our layers run, in all models.

    Arguments
    ---------
    pairs : dict
        As `counterparts` returns it.
    ran : set
        Gets their keys in `pairs`.

    Returns
    -------
    handle
        Its `remove` ends it.
    """
    names = {layer: name for name, (_, layer) in pairs.items()}

    def note(module, _):
        for layer in type(module).__mro__:  # those that derive from ours too
            if layer in names:
                ran.add(names[layer])

    return register_module_forward_pre_hook(note)


def pytest_configure(config):
    """Patches before any test is imported; a run without any is refused."""
    try:
        pairs = counterparts(LAYERS)
    except ModuleNotFoundError as error:
        raise pytest.UsageError(f"host_layers: {error}") from None
    if not patch(pairs):
        raise pytest.UsageError(f"host_layers: no layer in {LAYERS} to patch")
    config.host_layers, config.host_layers_ran = pairs, set()
    watch(pairs, config.host_layers_ran)


def pytest_terminal_summary(terminalreporter, config):
    """How many were patched, which ran in the tests and which did not."""
    ran = config.host_layers_ran
    left = ", ".join(sorted(set(config.host_layers) - ran)) or "none"
    terminalreporter.write_line(
        f"host_layers: {len(config.host_layers)} classes patched, {len(ran)} "
        f"of them ran: {', '.join(sorted(ran)) or 'none'}; did not: {left}"
    )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """A run without any of our layers proves nothing."""
    ran = session.testscollected and not session.config.option.collectonly
    if ran and not session.config.host_layers_ran:
        session.exitstatus = pytest.ExitCode.USAGE_ERROR
