"""`leanbrain` where the host's transducer loss cannot be computed: on a CPU.

That loss is written for CUDA alone. In its place stands torchaudio's, the
same function of the same arguments; scripts and YAML stay as they are.
"""

import sys
from types import ModuleType, SimpleNamespace

__all__ = ["loss"]

REPLACED = "speechbrain.integrations.numba.transducer_loss"


def loss(log_probs, targets, input_lens, target_lens, blank_index, reduction):
    """The transducer loss, as `Transducer.apply` of the host is called."""
    from torchaudio.functional import rnnt_loss

    return rnnt_loss(
        log_probs.float(),
        targets.int(),
        input_lens.int(),
        target_lens.int(),
        blank_index,
        reduction=reduction,
    )


if __name__ == "__main__":
    module = ModuleType(REPLACED)
    module.Transducer = SimpleNamespace(apply=loss)
    sys.modules[REPLACED] = module

    from leanbrain.__main__ import main

    sys.exit(main())
