"""The commands and pieces of code that the pages hold."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHELL = ("", "bash", "sh", "console")
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.M | re.S)
INLINE = re.compile(r"`([^`]+)`")
# Words that a command begins with, in blocks without a language and in prose.
PROGRAMS = re.compile(
    r"(?:[A-Z_]+=\S+ )*"
    r"(?:make|python|leanbrain|torchrun|tensorboard|pip|pytest|git|cp|"
    r"pre-commit|\S+\.sh|\S+\.py|\.ci/run)(?: |$)"
)
# Names of a program alone, such as `git`, are no commands; these are.
ALONE = (".ci/run",)
COMMENT = re.compile(r"(^|\s+)# .*$")


@dataclass(frozen=True)
class Command:
    """A command of a page.

    Arguments
    ---------
    page : str
        Path of the page, from the root of the repository.
    line : int
        Where its block or its paragraph begins.
    text : str
        On one line, without comments.
    folder : str
        Where the block has changed to, from the root.
    environment : dict
        What the block has exported.
    """

    page: str
    line: int
    text: str
    folder: str = "."
    environment: dict[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Block:
    """A piece of a page that is no shell.

    Arguments
    ---------
    page : str
        Path of the page, from the root of the repository.
    line : int
        Of its first line.
    language : str
        Such as "python", "diff", "yaml".
    text : str
        What it says.
    """

    page: str
    line: int
    language: str
    text: str


def pages() -> list[Path]:
    """The README, the docs, and whatever README lies below a folder of git."""
    command = ["git", "ls-files", "*.md"]
    listed = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    return [ROOT / name for name in listed if name != "CHANGELOG.md"]


def commands_in(page: Path) -> list[Command]:
    """Commands of the blocks of a page, then those in its prose."""
    text, name = page.read_text("utf-8"), page.relative_to(ROOT).as_posix()
    found: list[Command] = []
    for block in FENCE.finditer(text):
        line = text.count("\n", 0, block.start()) + 1
        if block[1] in SHELL:
            found += _of_block(block[1], block[2], name, line)
    prose = FENCE.sub(lambda x: "\n" * x[0].count("\n"), text)
    for span in INLINE.finditer(prose):
        said = " ".join(span[1].split())
        if said in ALONE or (PROGRAMS.match(said) and " " in said):
            line = prose.count("\n", 0, span.start()) + 1
            found.append(Command(name, line, said))
    return found


def blocks_in(page: Path) -> list[Block]:
    """The blocks of a page that are no shell."""
    text, name = page.read_text("utf-8"), page.relative_to(ROOT).as_posix()
    return [
        Block(name, text.count("\n", 0, x.start()) + 1, x[1], x[2])
        for x in FENCE.finditer(text)
        if x[1] not in SHELL
    ]


def _of_block(
    language: str, body: str, page: str, line: int
) -> Iterator[Command]:
    """The commands of a block, each with what the block did before it."""
    folder, exported = ".", {}
    for whole in body.replace("\\\n", " ").splitlines():
        text = " ".join(COMMENT.sub("", whole).split())
        if text.startswith("cd "):
            folder = text.removeprefix("cd ")
        elif text.startswith("export "):
            key, _, value = text.removeprefix("export ").partition("=")
            exported = {**exported, key: value}
        elif text and (language or PROGRAMS.match(text)):
            yield Command(page, line, text, folder, exported)
