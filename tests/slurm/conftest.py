"""A SLURM cluster of one node, on this machine, for as long as it is needed.

Everything (configuration, keys, sockets, states, logs) lies in a folder of its
own; nothing of the system's SLURM is used or changed, and no systemd.
"""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

DAEMONS = ("munged", "slurmctld", "slurmd")
START_S = 300.0

CONFIG = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# A requeued job waits until its first credential has expired.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
# More processors than there are, as the trials of the tests only wait.
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,sched_min_interval=100000,bf_interval=1
MpiDefault=none
ReturnToService=2
KillWait=3
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture(scope="session")
def slurm():
    """Gives a running cluster's folder; its commands find it by SLURM_CONF."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    programs = {name: shutil.which(name, path=path) for name in DAEMONS}
    missing = [name for name, found in programs.items() if not found]
    if missing:
        pytest.skip(
            f"no SLURM: {', '.join(missing)} not found; "
            "tests/slurm/install.sh installs it"
        )
    if os.getuid() != 0:
        pytest.skip("no SLURM: its daemons need root")
    # Not pytest's folders: the path of a socket may have 107 letters.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    daemons = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(_configure(folder)))
        try:
            _start(folder, programs, daemons)
            yield folder
            _cancel_all()
        finally:
            _stop(daemons)
            shutil.rmtree(folder, ignore_errors=True)


def _configure(folder):
    """Writes the configuration and a key."""
    # munged wants to be found by all users; the key is readable to us only.
    folder.chmod(0o711)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    config = folder / "slurm.conf"
    config.write_text(
        CONFIG.format(
            host=socket.gethostname().partition(".")[0],
            ports=_free_ports(2),
            user="root",
            folder=folder,
        )
    )
    return config


def _start(folder, programs, daemons):
    """Starts the daemons and waits until the node takes jobs."""
    commands = {
        "munged": [
            "--foreground",
            f"--socket={folder}/munge.socket",
            f"--key-file={folder}/munge.key",
            f"--pid-file={folder}/munged.pid",
            f"--seed-file={folder}/munged.seed",
            f"--log-file={folder}/munged.log",
        ],
        "slurmctld": ["-D"],
        "slurmd": ["-D"],
    }
    for name in DAEMONS:
        with open(folder / f"{name}.out", "wb") as log:
            daemons.append(
                subprocess.Popen(
                    [programs[name], *commands[name]],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )
        if name == "munged":
            _wait_for(
                (folder / "munge.socket").exists, folder, daemons, "munged"
            )
    _wait_for(_node_is_idle, folder, daemons, "the node")


def _node_is_idle():
    """Says whether the node takes jobs."""
    done = subprocess.run(
        ["sinfo", "--noheader", "--format=%T"], capture_output=True, text=True
    )
    return done.stdout.strip() == "idle"


def _wait_for(ready, folder, daemons, what):
    """Waits; what the daemons said goes into the message of the failure."""
    end = time.monotonic() + START_S
    while not ready():
        dead = any(daemon.poll() is not None for daemon in daemons)
        if dead or time.monotonic() > end:
            said = "\n".join(
                f"{file.name}: {file.read_text(errors='replace')[-2000:]}"
                for file in sorted(folder.glob("*.out"))
            )
            pytest.fail(f"SLURM did not start ({what}):\n{said}")
        time.sleep(0.1)


def _cancel_all():
    """Ends jobs that a failed test left: they would outlive the daemons."""
    subprocess.run(["scancel", "--me"])
    end = time.monotonic() + 300
    squeue = ["squeue", "--noheader"]
    while time.monotonic() < end and subprocess.check_output(squeue):
        time.sleep(0.2)


def _stop(daemons):
    """Ends the daemons, the last one first."""
    for daemon in reversed(daemons):
        daemon.terminate()
        try:
            daemon.wait(60)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def _free_ports(count):
    """Finds ports that nobody uses."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
