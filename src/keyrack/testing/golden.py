"""Transcripts: what commands print, kept as files that a person reads, and played again to see whether it is so.

A transcript is a list of steps. ``$ keyrack …`` is a command, run as the program runs it; ``& keyrack …`` is one that
goes on, in a process of its own until ``% stop``; ``% …`` is an act of the stage around it, such as a client that
knocks; ``#`` is a remark. Below a command stands what it printed: standard output indented by four spaces, standard
error behind ``  ! ``, and the exit code where it is not 0. Whatever differs from run to run has a name in the place of
its value, ``<id-1>`` for the first identifier that appears; a later command may say it.
"""

import contextlib
import io
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from keyrack.shell.cli import run

OUT, ERR = "    ", "  ! "


@dataclass(frozen=True, slots=True)
class Step:
    """One line that does something, or a remark, and what came of it the last time."""

    line: str
    told: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        """Of a command, without ``keyrack``; else none."""
        return shlex.split(self.line[2:])[1:] if self.line.startswith(("$ ", "& ")) else []


def read(path: Path) -> list[Step]:
    """The steps of a transcript."""
    steps: list[Step] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith((OUT, ERR)):
            steps[-1] = Step(steps[-1].line, (*steps[-1].told, line))
        elif line:
            steps.append(Step(line))
    return steps


def written(steps: Sequence[Step]) -> str:
    """A transcript as text; commands stand apart from each other, acts stand with what follows them."""
    lines: list[str] = []
    for before, step in zip((None, *steps), steps, strict=False):
        if before is not None and not before.line.startswith("% "):
            lines.append("")
        lines += (step.line, *step.told)
    return "\n".join(lines) + "\n"


Act = Callable[["Stage", Sequence[str]], None]


@dataclass(slots=True)
class Stage:
    """Where transcripts are played: a directory, and the acts that are not commands."""

    directory: Path
    acts: Mapping[str, Act]
    environment: Mapping[str, str]
    begin: Callable[[Sequence[str]], tuple[int, str, str]]
    """Runs a command in a process of its own until it is ready, or over."""
    names: dict[str, str] = field(default_factory=dict)
    """Values that have a name, and the name of each."""

    def play(self, steps: Sequence[Step]) -> list[Step]:
        """Do each step again; the same steps, with what came of them now."""
        with _environment(self.environment), contextlib.chdir(self.directory):
            return [self._step(step) for step in steps]

    def _step(self, step: Step) -> Step:
        line = self.meant(step.line)
        if line.startswith("% "):
            name, *words = shlex.split(line[2:])
            self.acts[name](self, words)
            return Step(step.line)
        if not line.startswith(("$ ", "& ")):
            return Step(step.line)
        words = shlex.split(line[2:])[1:]
        code, out, err = ran(words) if line.startswith("$ ") else self.begin(words)
        told = [f"{OUT}{each}".rstrip() for each in self.named(out).splitlines() if each.strip()]
        told += [f"{ERR}{each}".rstrip() for each in self.named(err).splitlines() if each.strip()]
        if code:
            told.append(f"{ERR}exit code {code}")
        return Step(step.line, tuple(told))

    def meant(self, line: str) -> str:
        """A line with the values in the place of their names; ``<id-1:8>`` is the beginning of one."""
        values = {name: value for value, name in self.names.items()}

        def value(found: "re.Match[str]") -> str:
            whole = values.get(f"<{found[1]}>")
            return found[0] if whole is None else whole[: int(found[2])] if found[2] else whole

        return re.sub(r"<([a-z]+-\d+)(?::(\d+))?>", value, line)

    def named(self, text: str) -> str:
        """What was printed, with names in the place of values that differ from run to run."""
        text = text.replace(str(self.directory), "DIR")
        for kind, pattern in _LASTING:
            text = re.sub(pattern, lambda found, kind=kind: self.name(kind, found[0]), text)  # type: ignore[misc]
        for pattern, name in _PASSING:
            text = re.sub(pattern, name, text, flags=re.MULTILINE)
        text = _SHORT.sub(lambda found: self._short(found[0]), text)
        # Columns are as wide as what stands in them, which may be of another length today.
        return re.sub(r"(?<=\S) {3,}(?=\S)", "   ", text)

    def name(self, kind: str, value: str) -> str:
        """The name of a lasting value, which it gets when it first appears."""
        value = value.replace(":", "").lower() if kind == "fingerprint" else value
        if value not in self.names:
            number = 1 + sum(each.startswith(f"<{kind}-") for each in self.names.values())
            self.names[value] = f"<{kind}-{number}>"
        return self.names[value]

    def _short(self, value: str) -> str:
        for whole, name in self.names.items():
            if whole.startswith(value):
                return f"{name[:-1]}:{len(value)}>"
        # A beginning of something that nothing has printed whole; what an author made up has one digit.
        return value if len(set(value)) == 1 else "<beginning>"


def ran(words: Sequence[str]) -> tuple[int, str, str]:
    """A command, run in this process as the program runs it: exit code, standard output, standard error."""
    out, err, before = io.StringIO(), io.StringIO(), sys.stdin
    sys.stdin = io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(words)
    finally:
        sys.stdin = before
    return code, out.getvalue(), err.getvalue()


@contextlib.contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    for name in before:
        if name.startswith("KEYRACK_") or name in ("NO_COLOR", "COLUMNS"):
            del os.environ[name]
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


_LASTING: Final[Sequence[tuple[str, str]]] = (
    ("id", r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"),
    ("secret", r"\bkr[skl]_[A-Za-z0-9_-]{20,}|(?<![\w/+-])[A-Za-z0-9_-]{43,44}(?![\w/+=-])"),
    ("fingerprint", r"\b[0-9a-f]{64}\b"),
    ("fingerprint", r"\b(?:[0-9A-F]{2}:){19,31}[0-9A-F]{2}\b"),
    ("kmip", r"\bkmip-[0-9a-z]{2}\b"),
    ("hex", r"\b[0-9a-f]{32}\b|\b[0-9a-f]{40}\b"),
)
"""Values that are asked for again."""
_SHORT: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{8,63}(?![0-9a-f])")
_PASSING: Final[Sequence[tuple[str, str]]] = (
    (r"-----BEGIN ([A-Z ]+)-----[\s\S]+?-----END \1-----", r"-----BEGIN \1----- … -----END \1-----"),
    (r"\b\d{8}T\d{6}Z\b", "<instant>"),
    (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)", "<instant>"),
    (r"\b\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?(?:Z| UTC)?", "<time>"),
    (r"\b(?!2026-01-31|2026-08-01|2030-01-02)\d{4}-\d\d-\d\d\b", "<date>"),
    (r"\b(?:local-user-)[a-z_][a-z0-9_-]*", "local-user-ACCOUNT"),
    (r"\b(127\.0\.0\.1|\[::1\]|localhost):\d{2,5}\b", r"\1:<port>"),
    (r"\b\d+(?:\.\d+)? (?:ms|µs)\b", "<ms>"),
    (r"\b(after|for) \d+\.\d+ s\b", r"\1 <seconds>"),
    (r'"pause_seconds": [0-9.]+', '"pause_seconds": <seconds>'),
    (r"\b[0-9A-F]{34,40}\b", "<serial>"),
    (r"\b\d+ days (left|are left)\b", r"<days> days \1"),
    (r"\b\d+(?:\.\d+)? (?:s|min|h|d) ago\b", "<ago>"),
    (r"\b\d+(?:\.\d+)? (?:KiB|MiB|GiB)\b", "<size>"),
    (r"\bkeyrack \d+\.\d+\.\d+\b", "keyrack <version>"),
)
"""Values that nobody asks for again."""
