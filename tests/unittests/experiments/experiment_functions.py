"""Run functions of the tests: they import nothing heavy."""

import ctypes
import os
import random
import signal
import subprocess
import sys
import time


def square(config, folder, **context):
    time.sleep(config.get("sleep_s", 0))
    (folder / "seen.txt").write_text("x")
    return {"y": config["x"] ** 2, "draw": random.random()}


def ends(config, folder):
    return {"status": config["status"], "reason": "because", "best": 1.5}


def raises(config, folder):
    raise ValueError("no\nluck")


def exits(config, folder):
    sys.exit("gave up")


def returns_none(config, folder):
    return None


def returns_inf(config, folder):
    return {"best": float("inf")}


def crashes(config, folder):
    os.kill(os.getpid(), signal.SIGSEGV)


def sleeps(config, folder):
    time.sleep(3600)


def stuck(config, folder):
    # PyDLL keeps Python's lock: no other thread of this process runs.
    ctypes.PyDLL(None).sleep(3600)


def has_children(config, folder, pids):
    child = subprocess.Popen(["sleep", "3600"], start_new_session=True)
    with open(pids, "a") as file:
        file.write(f"{child.pid}\n")
    time.sleep(3600)


def gated(config, folder, gate):
    with open(f"{gate}.begun", "a") as file:
        file.write(f"{config['i']} {os.getpid()} {os.getppid()}\n")
    while not os.path.exists(gate):
        time.sleep(0.01)
    return {"i": config["i"]}


def fills_the_disk(config, folder):
    raise OSError(28, "No space left on device")


def bulky(config, folder):
    return {"text": "x" * 3000}


def counts(config, folder):
    files = sorted(path.name for path in folder.iterdir())
    (folder / "left.txt").write_text("x")
    return {"files": files}


def meddles(config, folder):
    found = os.environ.get("MEDDLED"), os.getcwd() == str(folder)
    os.environ["MEDDLED"] = "1"
    os.chdir(folder)
    return {"found": found}
