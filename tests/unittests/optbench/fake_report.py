"""Ledgers as folders, and what is read from them."""

import csv
import io
from pathlib import Path

import fake_ledger as fake

from leanbrain.optbench.protocol.rules import load_rules
from leanbrain.optbench.report.analysis import analyse
from leanbrain.optbench.report.collect import collect

RULES_FILE = Path(__file__).parents[3] / "hparams" / "rules" / "cpu.yaml"
RULES = load_rules(RULES_FILE)
# Without a slash: the name of a file.
HOSTILE_FILE = "<b>|`=1+1`"


def hostile_rows():
    """Rows in which every text that a user may choose is hostile."""
    slow = {f"slow{i}": (0.4, 0.001) for i in range(2)}
    optimizers = {**fake.OPTIMIZERS, fake.HOSTILE: (0.9, 0.001), **slow}
    rows = fake.fake_rows(optimizers)
    for row in rows:
        row["commit"] = f"c0ffee{fake.HOSTILE}"
        row["versions"] = {"torch": fake.HOSTILE, fake.HOSTILE: "1"}
        config = row["config"]
        config["workload"] = config["workload"].replace(
            "lstm_ctc", f"lstm{HOSTILE_FILE}"
        )
        if "hyperparameters" in config:
            config["hyperparameters"][fake.HOSTILE] = fake.HOSTILE
        if config.get("variant") == "relu":
            config["variant"] = f"relu{fake.HOSTILE}"
    return rows


def save(root, rows, rules=RULES_FILE):
    fake.write_ledger(root, rows)
    (root / "rules.yaml").write_text(rules.read_text())
    return root


def findings(rows, rules=RULES):
    return analyse(collect(rows, rules))


def read_csv(text):
    return list(csv.DictReader(io.StringIO(text)))
