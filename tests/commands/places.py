"""A clean checkout with tiny corpora, in which commands of the pages run."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from functools import cached_property
from pathlib import Path
from string import Template

from pages import ROOT, Command
from short_forms import STOCK, Short, short_form

from leanbrain.dataio.corpus import Settings
from leanbrain.dataio.digits import DigitSettings, synthesise_digits
from leanbrain.dataio.manifests import read_manifest, write_manifest
from leanbrain.dataio.synthesis import synthesise_corpus

HERE = Path(__file__).resolve().parent
SMALL_RECIPE = ROOT / "tests" / "integration" / "host" / "stock"
LANGUAGES = {"en": "en", "fr": "es", "it": "ru", "nl": "uk"}
# Some take minutes on a machine that does nothing else.
LIMIT_S = 1800
SCRIPT = re.compile(r"\b(\w+\.py) (\S+\.yaml)\b|\b(\S+\.yaml)\b")
# Keys that pages give to recipes whose files are not here. Others are refused:
# a misspelt option is taken for a key.
KEYS = ("freeze_encoder", "freeze_wav2vec", "output_neurons")


class Place:
    """A copy of what git tracks, as it is in the working tree.

    Arguments
    ---------
    folder : Path
        An empty one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkout = folder / "checkout"
        self.ran: set[str] = set()
        self.recipes: dict[str, Path] = {}
        _copy_tracked(self.checkout)
        _link_environment(self.checkout / ".venv")

    @cached_property
    def variables(self) -> dict[str, str]:
        """What a command's shell knows beside the usual."""
        return {
            "DIGITS": str(self._digits()),
            "PROMPTS": str(self._prompts()),
            "LIBRISPEECH": str(self._librispeech()),
            "WHISPER": str(self._whisper()),
            "HERE": str(HERE),
        }

    def run(self, command: Command) -> None:
        """Runs the short form of a command once, after what it needs."""
        if command.text in self.ran:
            return
        short = short_form(command.text)
        assert short is not None, command.text
        for text in short.after:
            self.run(Command(command.page, command.line, text, command.folder))
        self.run_short(command, short)
        self.ran.add(command.text)

    def run_short(self, command: Command, short: Short) -> Path:
        """Runs a command in a given form.

        Returns
        -------
        Path
            Its $OUT.
        """
        out = Path(tempfile.mkdtemp(dir=self.folder, prefix="out"))
        folder = self._folder(command, short)
        printed = self._shell(command, short, folder, out)
        if short.says:
            assert re.search(short.says, printed), _report(command, printed)
        if short.leaves:
            left = folder / Template(short.leaves).substitute(OUT=out)
            assert left.exists(), f"{left}: {_report(command, printed)}"
        return out

    def _folder(self, command: Command, short: Short) -> Path:
        """Where a command is run."""
        if short.folder != STOCK:
            return self.checkout / (short.folder or command.folder)
        # Its own, or that of the command that it comes after.
        if short.after:
            folder = self.recipes[short.after[0]]
        else:
            folder = Path(tempfile.mkdtemp(dir=self.folder, prefix="recipe"))
        self.recipes[command.text] = folder
        write_recipe(folder, command.text)
        return folder

    def _shell(
        self, command: Command, short: Short, folder: Path, out: Path
    ) -> str:
        """Runs the lines of a command; returns what they print."""
        text = command.text
        for old, new in short.replace.items():
            assert old in text, f"{command.text}: no {old!r} to replace"
            text = text.replace(old, new)
        lines = ["set -e", short.first, f"{text} {short.add}"]
        bin_folder = self.checkout / ".venv" / "bin"
        known = {k: v for k, v in os.environ.items() if not _is_ours(k)}
        paths = [str(self.checkout / "plugins"), known.get("PYTHONPATH", "")]
        process = subprocess.Popen(
            ["bash", "-c", "\n".join(lines)],
            cwd=folder,
            env={
                **known,
                **self.variables,
                **command.environment,
                "OUT": str(out),
                "PATH": f"{bin_folder}:{os.environ['PATH']}",
                "PYTHONPATH": ":".join(filter(None, paths)),
                "OMP_NUM_THREADS": "1",
                "MPLBACKEND": "Agg",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        if short.serves:
            return _serve(process, short.says)
        try:
            printed, _ = process.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            printed = f"{process.communicate()[0]}\n(took over {LIMIT_S} s)"
        assert process.returncode == 0, _report(command, printed)
        return printed

    def _digits(self) -> Path:
        """Spoken digits in the real layout."""
        return synthesise_digits(
            self.folder, DigitSettings(("en",), 1, 1, 1), progress=False
        )

    def _prompts(self) -> Path:
        """Sentences in the five languages of suites/real.yaml."""
        sizes = Settings(train=12, valid=2, test=2)
        source = synthesise_corpus(self.folder, sizes, progress=False)
        for split in ("train", "valid", "test"):
            manifest = source / f"{split}.csv"
            rows = list(read_manifest(manifest).values())
            names = [{**x, "lang": LANGUAGES[x["lang"]]} for x in rows]
            again = [
                {**x, "lang": "de", "ID": f"de_{x['ID']}"}
                for x in names
                if x["lang"] == "en"
            ]
            write_manifest(manifest, [*names, *again])
        return source

    def _librispeech(self) -> Path:
        """A corpus in the layout of LibriSpeech."""
        folder = self.folder / "libri"
        _write("optbench/librispeech", "write_corpus", folder)
        for name in ("SPEAKERS", "CHAPTERS"):
            (folder / "LibriSpeech" / f"{name}.TXT").write_text(name)
        return folder

    def _whisper(self) -> Path:
        """A tiny Whisper in CTranslate2's format."""
        folder = self.folder / "whisper"
        _write("prompts/whisper", "write_source", folder)
        return folder


def _write(tests: str, function: str, folder: Path) -> None:
    """Has the fixtures of some tests write a folder."""
    code = "import sys, pathlib, conftest; "
    code += f"conftest.{function}(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(folder)]
    conftest = ROOT / "tests" / "integration" / tests
    subprocess.run(command, cwd=conftest, check=True)


def _copy_tracked(folder: Path) -> None:
    """Copies what git tracks: what is new and not added is not there."""
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        if os.path.lexists(ROOT / name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name, follow_symlinks=False)


def _link_environment(folder: Path) -> None:
    """Makes a .venv of the present one, with nothing left to install."""
    folder.mkdir()
    for part in Path(sys.prefix).iterdir():
        if part.name not in (".stamp", ".rivals"):
            (folder / part.name).symlink_to(part)
    for name in (".stamp", ".rivals"):
        (folder / name).touch()


def write_recipe(folder: Path, text: str) -> None:
    """The small stock recipe, under the names that a command has."""
    (folder / "hparams").mkdir(parents=True, exist_ok=True)
    found = SCRIPT.search(text)
    script, yaml = "train.py", "hparams/train.yaml"
    if found and found[1]:
        script = found[1]
    named = (found[2] or found[3]) if found else ""
    if named.startswith("hparams/"):
        yaml = named
    if (folder / yaml).exists():
        return
    recipe = (SMALL_RECIPE / "train.yaml").read_text("utf-8")
    own = "".join(f"{key}: null\n" for key in KEYS)
    recipe = recipe.replace(
        "output_folder: !PLACEHOLDER",
        f"{own}data_folder: !PLACEHOLDER\n"
        f"output_folder: results/{Path(yaml).stem}",
    )
    (folder / yaml).write_text(recipe, "utf-8")
    shutil.copy(SMALL_RECIPE / "train.py", folder / script)


def _is_ours(name: str) -> bool:
    """Whether a variable is of the pytest that runs this."""
    return name.startswith(("PYTEST_", "COV_", "COVERAGE", "MAKE", "MFLAGS"))


def _serve(process: subprocess.Popen[str], says: str) -> str:
    """Waits until a server has said that it is there; ends it."""
    printed = ""
    assert process.stdout is not None
    try:
        for line in process.stdout:
            printed += line
            if re.search(says, line):
                break
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return printed


def _report(command: Command, printed: str) -> str:
    """What a failure shows."""
    where = f"{command.page}:{command.line}: {command.text}"
    return f"{where}\n{printed.replace(chr(13), chr(10))[-4000:]}"
