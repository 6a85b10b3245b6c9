"""LeanBrain: lean models, lean training and lean features for SpeechBrain.

Importing the package is cheap: it compares the versions of torch and
torchaudio by their metadata and loads neither them nor SpeechBrain. Imported
before torch, it asks OpenMP's threads not to spin (``leanbrain.threads``).
"""

from leanbrain._host import (
    HostError,
    _shorten_traceback,
    check_host,
    import_speechbrain,
    user_errors,
)
from leanbrain.checks import UserError
from leanbrain.threads import wait_briefly

__version__ = "0.1.0"

__all__ = [
    "HostError",
    "UserError",
    "__version__",
    "check_host",
    "import_speechbrain",
    "user_errors",
]

wait_briefly()
try:
    check_host()
except HostError:
    _shorten_traceback()
    raise
