"""Measurements of a run that is not finished, kept one by one."""

import json

from leanbrain.files import write_json


class Measurements:
    """What was measured, by name; an interrupted run goes on after it.

    Arguments
    ---------
    path : Path | None
        File of the unfinished run; None keeps nothing.
    facts : dict
        What must be the same for measurements to be of one run: settings,
        commit, kernels and so on.
    say : Callable
        Takes a line of progress.
    """

    def __init__(self, path, facts, say):
        self.path, self.facts, self.say = path, _plain(facts), say
        self.found = {}
        if path is not None and path.exists():
            old = json.loads(path.read_text(encoding="utf-8"))
            changed = [k for k, v in self.facts.items() if old["facts"][k] != v]
            if changed:
                say(f"begins anew: {', '.join(changed)} changed since")
            else:
                self.found = old["found"]
                say(f"goes on after {len(self.found)} measurements")

    def __call__(self, name, task):
        """What a task measures, now or before."""
        if name not in self.found:
            self.say(name)
            self.found[name] = _plain(task())
            if self.path is not None:
                write_json(
                    self.path, {"facts": self.facts, "found": self.found}
                )
        return self.found[name]


def _plain(value):
    """As it comes back from a file."""
    return json.loads(json.dumps(value))
