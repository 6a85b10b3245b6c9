"""Says what is tested; refuses a clone that does not fit what is installed.

Use: python host_versions.py <clone of SpeechBrain>
"""

import sys
from importlib.metadata import version
from pathlib import Path


def clone_version(clone):
    """The version that a clone of SpeechBrain says that it has."""
    file = Path(clone) / "speechbrain" / "version.txt"
    return file.read_text(encoding="utf-8").strip()


def check_installed(module_file, clone):
    """Refuses a package that comes from a clone.

    Arguments
    ---------
    module_file : str
        `__file__` of the imported package.
    clone : str
        Folder of the clone.
    """
    if Path(clone).resolve() in Path(module_file).resolve().parents:
        raise SystemExit(
            "error: `speechbrain` must be the installed package, got the "
            f"clone's: {module_file}."
        )


def check_version(tests, package):
    """Refuses tests of another minor version than the package's.

    Arguments
    ---------
    tests : str
        Version of the clone.
    package : str
        Version that is installed.
    """
    if tests.split(".")[:2] != package.split(".")[:2]:
        raise SystemExit(
            "error: `SPEECHBRAIN_REPO` must be of the installed version, "
            f"{package}, or close to it, got {tests}."
        )


def main(clone):
    """One line with the versions of all."""
    import speechbrain

    import leanbrain

    check_installed(speechbrain.__file__, clone)
    tests, package = clone_version(clone), version("speechbrain")
    check_version(tests, package)
    print(
        f"SpeechBrain {package} (its tests: {tests}), "
        f"LeanBrain {leanbrain.__version__}, PyTorch {version('torch')}"
    )


if __name__ == "__main__":
    main(sys.argv[1])
