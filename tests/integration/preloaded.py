"""Runs scripts as commands do, without waiting for their imports.

Started as a program it imports what recipes need, then reads one request per
line and runs each script in a copy of itself: a process with its own memory,
arguments and exit code.
"""

import atexit
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from multiprocessing.util import _exit_function
from pathlib import Path


class Preloaded:
    """Starts scripts from a process that has imported SpeechBrain.

    Tests of what happens when a process is killed start their own.
    """

    def __init__(self):
        self.server = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def run(self, *command):
        """Runs a script with arguments; returns what subprocess.run does."""
        with tempfile.TemporaryDirectory() as folder:
            out, err = (Path(folder) / name for name in ("out", "err"))
            request = {"command": [str(x) for x in command]}
            request |= {"cwd": os.getcwd(), "out": str(out), "err": str(err)}
            print(json.dumps(request), file=self.server.stdin, flush=True)
            answer = self.server.stdout.readline()
            assert answer, f"the server ended with {self.server.wait()}"
            code = int(answer)
            return subprocess.CompletedProcess(
                command, code, out.read_text("utf-8"), err.read_text("utf-8")
            )

    def close(self):
        """Ends the process."""
        self.server.stdin.close()
        self.server.wait()


def run_here(command):
    """Runs a script in this process; returns its exit code."""
    sys.argv = command
    sys.path[0] = str(Path(command[0]).parent)
    try:
        runpy.run_path(command[0], run_name="__main__")
    except SystemExit as error:
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
            return 1
        return error.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def work(request):
    """What the copy does; it never returns."""
    os.chdir(request["cwd"])
    for number, name in ((0, os.devnull), (1, "out"), (2, "err")):
        path = request.get(name, name)
        flags = os.O_RDWR | os.O_CREAT
        os.dup2(os.open(path, flags), number)
    code = run_here(request["command"])
    _exit_function()  # joins the processes that the script started
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def serve(requests):
    """Answers each request with an exit code."""
    for line in requests:
        child = os.fork()
        if not child:
            work(json.loads(line))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(code, flush=True)


if __name__ == "__main__":
    import speechbrain  # noqa: F401
    import tensorboard  # noqa: F401
    import torchaudio  # noqa: F401

    import leanbrain.pruning  # noqa: F401

    serve(sys.stdin)
