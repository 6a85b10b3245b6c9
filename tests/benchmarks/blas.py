"""Matrix kernels that a benchmark runs on: the CPU's own, or it does not run.

Variables of the environment can make a library take the kernels of an older
CPU, or block its products for another cache. A rival is then slow through no
fault of its own.
"""

import os
import platform
import sys
from pathlib import Path

from leanbrain.checks import UserError

# Each makes one library choose other kernels than it would.
CHOOSING = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "BLIS_ARCH_TYPE",
    "MKL_CBWR",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_ENABLE_INSTRUCTIONS",
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_MAX_CPU_ISA",
    "ATEN_CPU_CAPABILITY",
    "NPY_DISABLE_CPU_FEATURES",
)
# Of OpenBLAS: what a CPU with these instructions need not put up with.
SSE = {"Prescott", "Core2", "Penryn", "Dunnington", "Nehalem", "Atom", "Nano"}
SSE |= {"Athlon", "Opteron", "Opteron_SSE3", "Barcelona", "Bobcat"}
AVX = SSE | {"Sandybridge", "Bulldozer", "Piledriver", "Steamroller"}
TOO_OLD = {"avx512f": AVX | {"Haswell", "Excavator", "Zen"}, "avx2": AVX}


def start_unhindered():
    """Starts this script anew without such variables, and says so."""
    found = [name for name in CHOOSING if name in os.environ]
    if not found:
        return
    named = ", ".join(f"{name}={os.environ[name]}" for name in found)
    print(
        f"started anew without {named}: a library is to choose its kernels by "
        "the CPU",
        file=sys.stderr,
        flush=True,
    )
    env = {k: v for k, v in os.environ.items() if k not in found}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], env)


def kernels():
    """What the loaded libraries multiply matrices with, a line for each.

    Raises
    ------
    UserError
        If one of them takes kernels that this CPU has outgrown, or a variable
        chooses for it.
    """
    for name in CHOOSING:
        if name in os.environ:
            raise UserError(
                f"The variable {name} must be unset in a benchmark, since it "
                f"chooses a rival's kernels, got {os.environ[name]!r}."
            )
    import torch
    from threadpoolctl import threadpool_info

    lines = [
        f"torch {torch.__version__}: {torch.backends.cpu.get_cpu_capability()}"
    ]
    for library in threadpool_info():
        if library["user_api"] != "blas":
            continue
        check_kernel(library, cpu_flags())
        lines.append(
            f"{library['internal_api']} {library['version']}: "
            f"{library.get('architecture', 'kernels unknown')}"
        )
    return sorted(set(lines))


def check_kernel(library, flags):
    """Refuses kernels for CPUs that lack what this one has."""
    kernel = library.get("architecture")
    for instructions, old in TOO_OLD.items():
        if instructions in flags and str(kernel).lower() in _lower(old):
            raise UserError(
                "The BLAS of a rival must take kernels for a CPU with "
                f"{instructions}, got {kernel} of {library['internal_api']}."
            )


def cpu_flags():
    """What this CPU can, by the names of Linux; nothing elsewhere."""
    path = Path("/proc/cpuinfo")
    if platform.machine() not in ("x86_64", "AMD64") or not path.is_file():
        return set()
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("flags"):
            return set(line.partition(":")[2].split())
    return set()


def _lower(names):
    return {name.lower() for name in names}
