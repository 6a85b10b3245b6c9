"""Which precision a machine trains fastest in."""

from pathlib import Path

import torch

# What computes in bfloat16 itself; other CPUs imitate it, and lose by it.
FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
CPU_INFO = Path("/proc/cpuinfo")


def faster_precision():
    """The value of SpeechBrain's option `precision`.

    Returns
    -------
    str
        "bf16" where the GPU, or else the CPU, has instructions for it; "fp32"
        where not, or where that cannot be found out.
    """
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if FLAGS & cpu_flags(CPU_INFO) else "fp32"


def cpu_flags(path):
    """The names of the CPU's instructions, as Linux lists them."""
    if not path.is_file():
        return set()
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return set(value.split())
    return set()
