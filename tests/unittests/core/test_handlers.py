"""Errors say what happened: no handler guesses, no YAML is joined from text."""

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = ("plugins", "recipes", "tests")

EVERYTHING = {"Exception", "BaseException"}
# What the system or torch may raise for many reasons.
WIDE = {"OSError", "IOError", "EnvironmentError", "RuntimeError"}

# Handlers of everything that do not pass it on as it is, and why they may.
EVERYTHING_IS_MEANT = {
    "checkpointing.py:save_checkpoint": "all but the disk's passes unchanged",
    "experiments/call.py:call": "whatever a trial raises is its outcome",
    "optimizers/building.py:_take_trial_step": "whatever an optimizer raises",
    "optimizers/specs.py:_load": "any callable of the file, named with it",
    "suite/file.py:_load": "any class of the file, named with what it says",
    "swap/checking.py:assert_class": "any callable of the recipe",
    "trials/calibration.py:guard": "whatever an optimizer raises is kept",
    "trials/kernels.py:kernel_flavour": "a fact that may be unknown",
    "trials/session.py:wrapped": "whatever an optimizer raises is its outcome",
    "recipes/building.py:build_modules": "part by part it is found out why",
    "recipes/building.py:_build_parts": "why each part cannot be built",
    "benchmarks/bench_swap.py:try_swap": "counts as failed, with its name",
    "host/check_pages.py:row": "a cell of the table, with its name",
    "host/examine_recipe.py:preload": "the recipes that need it will say so",
    "host/forked.py:_work": "handed to the process that waits for it",
    "integration/preloaded.py:run_here": "printed as Python does",
    "integration/two_ranks.py:code_of": "printed as Python does",
}
# Handlers of wide classes that do not say what was raised, and why.
NOTHING_TO_SAY = {
    "dataio/audio_survey.py:_stamp": "no such file has no stamp",
    "host/outcome.py:_state_dict": "what is no module's file holds no weights",
    "leanbrain/threads.py:_free_cores": "the system does not tell",
    "experiments/ledger.py:read_record": "a folder without a result has none",
    "experiments/processes.py:descendants": "it ended while it was looked at",
    "experiments/processes.py:_lives": "a process without a file does not",
    "experiments/processes.py:_exists": "what cannot be asked is not there",
    "experiments/runner.py:_flush": "on the way out of a full disk",
    "experiments/worker.py:_count": "without the file there was no attempt",
    "experiments/worker.py:_forget": "on the way out of a full disk",
    "leanbrain/files.py:_is_intact": "what is no whole archive is not intact",
    "masking/_bypass.py:_parse": "a method without source tells nothing",
    "nnet/_aware.py:is_routed": "a layer without source is not known",
    "leanbrain/provenance.py:_git": "no git, or no repository: no commit",
    "leanbrain/provenance.py:_memory_gib": "the system does not tell",
    "experiments/conftest.py:lives": "no such process",
    "experiments/test_supervision.py:test_the_disk_is_found_among_the_causes": (
        "made to be looked at"
    ),
}
# What reads YAML.
READERS = {
    "load_yaml",
    "load_hyperpyyaml",
    "load_recipe",
    "read_tagged",
    "resolved_text",
    "safe_load",
    "load_optimizer",
}
# Text that is put together and read as YAML, and why it may be.
JOINED = {
    "swap/checking.py:assert_class": "parts of one recipe, each as it stands",
}


@functools.cache
def parsed(folder):
    """The files below a folder, with their trees."""
    return [
        (path, ast.parse(path.read_text(encoding="utf-8")))
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]


def sources(*folders):
    for folder in folders:
        yield from parsed(folder)


def with_function(tree, name=""):
    """Handlers, calls and f-strings, and the function or class around."""
    for child in ast.iter_child_nodes(tree):
        own = getattr(child, "name", name)
        is_scope = isinstance(child, ast.FunctionDef | ast.ClassDef)
        if isinstance(child, ast.ExceptHandler | ast.Call | ast.JoinedStr):
            yield child, name
        yield from with_function(child, own if is_scope else name)


def classes(node):
    """Names of the classes that a handler names."""
    if node is None:
        return {"BaseException"}
    if isinstance(node, ast.Tuple):
        return set().union(*map(classes, node.elts))
    return {node.attr if isinstance(node, ast.Attribute) else node.id}


def passes_on(handler):
    """Whether what was caught goes on as it is."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def says_what(handler):
    """Whether the error is looked at, not only named as a cause."""
    raised = [n for n in ast.walk(handler) if isinstance(n, ast.Raise)]
    causes = [n.cause for n in raised if n.cause is not None]
    skipped = {id(n) for cause in causes for n in ast.walk(cause)}
    return any(
        isinstance(n, ast.Name) and n.id == handler.name
        for n in ast.walk(handler)
        if id(n) not in skipped
    )


def hidden(tree):
    """Handlers that hide what was raised: whether of all, and function."""
    for node, function in with_function(tree):
        if not isinstance(node, ast.ExceptHandler) or passes_on(node):
            continue
        kinds = classes(node.type)
        if kinds & EVERYTHING:
            yield True, function
        elif kinds & WIDE and not says_what(node):
            yield False, function


def place(path, function):
    return f"{path.parent.name}/{path.name}:{function}"


def is_in(found, allowed):
    return any(found.endswith(known) for known in allowed)


def check_all_used(found, allowed):
    """What nobody needs any more is to be taken out."""
    unused = [x for x in allowed if not any(y.endswith(x) for y in found)]
    assert not unused


@pytest.mark.parametrize(
    ("everything", "allowed"),
    [(True, EVERYTHING_IS_MEANT), (False, NOTHING_TO_SAY)],
    ids=["everything", "wide"],
)
def test_handlers_say_what_was_raised(everything, allowed):
    """A sentence of one's own about any error is a guess."""
    found = {
        place(path, function)
        for path, tree in sources(*FOLDERS)
        for wide, function in hidden(tree)
        if wide is everything
    }
    guesses = sorted(x for x in found if not is_in(x, allowed))
    assert not guesses, "name what was raised, catch less, or say why not"
    check_all_used(found, allowed)


def is_joined(node):
    """Whether an argument is text that is put together here."""
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(x, ast.FormattedValue) for x in node.values)
    if isinstance(node, ast.BinOp):
        return is_joined(node.left) or is_joined(node.right)
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    return called and node.func.attr in ("join", "format")


def is_option(node):
    """Whether it is `--key=value` with both put in."""
    if not isinstance(node, ast.JoinedStr) or len(node.values) < 4:
        return False
    parts = [getattr(x, "value", None) for x in node.values[:4:2]]
    return parts[0] == "--" and parts[1] == "="


def joined(tree):
    """Functions that make YAML by joining text."""
    for node, function in with_function(tree):
        if is_option(node):
            yield function
        if isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in READERS and is_joined(node.args[0]):
                yield function


def test_yaml_is_not_joined_from_text():
    """A `#` in a path, a language called no: `as_override` quotes them."""
    found = {
        place(path, function)
        for path, tree in sources("plugins", "recipes", "tests/integration")
        for function in joined(tree)
        if function != "as_override"
    }
    wrong = sorted(x for x in found if not is_in(x, JOINED))
    assert not wrong, "use leanbrain.hyperyaml.as_override or a mapping"
    check_all_used(found, JOINED)


GUESS = """
def save():
    try:
        write()
    except (RuntimeError, ValueError) as error:
        raise UserError("the disk is full") from error
"""
TELLS = GUESS.replace('"the disk is full"', 'f"not saved: {error}"')
BARE = GUESS.replace("except (RuntimeError, ValueError) as error", "except")
CLEANS = GUESS.replace(
    'raise UserError("the disk is full") from error', "raise"
)
YAML = [
    'load_yaml(f"a: {b}")',
    'load_yaml("\\n".join(lines))',
    'yaml.safe_load("a: " + f"{b}")',
    'words.append(f"--{key}={value}")',
]


def test_the_looking_itself():
    """Each rule on a line that breaks it and on one that does not."""
    assert list(hidden(ast.parse(GUESS))) == [(False, "save")]
    assert list(hidden(ast.parse(BARE))) == [(True, "save")]
    assert not list(hidden(ast.parse(TELLS)))
    assert not list(hidden(ast.parse(CLEANS)))
    for line in YAML:
        assert list(joined(ast.parse(line))) == [""], line
    for line in ('load_yaml("a: 1")', "load_yaml(text)", 'f"--{key}=.."'):
        assert not list(joined(ast.parse(line))), line
