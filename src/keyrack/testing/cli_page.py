"""The command line as a page of the reference: every command with its arguments and options, from the commands."""

import inspect
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from keyrack.shell.cli.app import command

EVERYWHERE: Final = frozenset({"--help", "--config", "--json"})
"""Options that the page tells of once."""


_BEGINNING: Final = """\
# Command line

Every command has `--help`, and every command has `--json`: one JSON document on standard output, or where something
goes on for a while one JSON object a line. A command that works on a deployment finds its configuration as
`$KEYRACK_CONFIG`, `./keyrack.toml`, `~/.config/keyrack/keyrack.toml` or `/etc/keyrack/keyrack.toml`, or takes it as
`--config FILE`.

| exit code | means |
| --- | --- |
| 0 | done |
| 1 | it failed; standard error says why and what to do |
| 2 | wrong use, or a mistake in the configuration; nothing was changed |
| 3 | unhealthy: `status`, `doctor`, checks and proofs |

`--debug` may stand anywhere and shows tracebacks. `keyrack completion bash` prints what a shell needs to complete
commands, options and the names of instances; its help tells where that goes.
"""


@dataclass(frozen=True, slots=True)
class Command:
    """One command, or a group of them."""

    words: tuple[str, ...]
    """What stands behind ``keyrack``."""
    itself: Any
    """As typer has it."""
    group: bool

    @property
    def name(self) -> str:
        """As it is typed."""
        return " ".join(("keyrack", *self.words))

    @property
    def told(self) -> str:
        """Its help, one line for each paragraph."""
        return inspect.cleandoc(self.itself.help or "").strip()


def commands() -> list[Command]:
    """The whole tree, groups before what is in them."""
    return list(_walk(command(), ()))


def page() -> str:
    """All of it, in Markdown."""
    lines = [_BEGINNING]
    for each in commands():
        lines += _told(each)
    return "\n".join(lines).rstrip() + "\n"


def _walk(here: Any, words: tuple[str, ...]) -> Iterator[Command]:
    inner = getattr(here, "commands", None)
    if words:
        yield Command(words, here, inner is not None)
    for name, each in (inner or {}).items():
        if not each.hidden:
            yield from _walk(each, (*words, name))


def _told(each: Command) -> Iterator[str]:
    yield f"{'##' if len(each.words) == 1 else '###'} `{each.name}`"
    yield ""
    yield _escaped(_paragraphs(each.told))
    yield ""
    if each.group:
        return
    arguments = [one for one in each.itself.params if one.param_type_name == "argument"]
    options = [one for one in each.itself.params if one.param_type_name == "option" and not EVERYWHERE & set(one.opts)]
    if arguments or options:
        yield "| argument or option | meaning |"
        yield "| --- | --- |"
    for one in arguments:
        yield f"| `{_plain(_metavar(one))}` | {_cell(one)} |"
    for one in options:
        yield f"| `{_plain(_option(one))}` | {_cell(one)} |"
    if arguments or options:
        yield ""


def _paragraphs(told: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", told))


def _metavar(argument: Any) -> str:
    named = str(argument.metavar or argument.name.upper()).strip("[]")
    many = f"{named}..." if argument.nargs != 1 and not named.endswith("...") else named
    return many if argument.required else f"[{many}]"


def _option(option: Any) -> str:
    names: Sequence[str] = sorted(option.opts, key=len, reverse=True)
    both = "/".join(sorted({*names, *option.secondary_opts}, key=lambda each: (-len(each), each)))
    if option.is_flag or option.count:
        return both
    return f"{both} {option.metavar or _kind(option.type_descriptor.annotation)}"


def _kind(annotation: Any) -> str:
    """What is to be written for an option that does not say it itself."""
    if typing.get_origin(annotation) is typing.Literal:
        return "|".join(map(str, typing.get_args(annotation)))
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return "|".join(annotation)
    return _KINDS.get(annotation, "TEXT")


_KINDS: Final[Mapping[Any, str]] = {int: "NUMBER", float: "NUMBER", Path: "FILE"}


def _cell(parameter: Any) -> str:
    told = " ".join(str(getattr(parameter, "help", None) or "").split())
    marks = ["needed"] if parameter.param_type_name == "option" and parameter.required else []
    marks += ["may be repeated"] if getattr(parameter, "multiple", False) and "repeated" not in told else []
    return _escaped(told) + (f" ({', '.join(marks)})" if marks else "")


def _plain(text: str) -> str:
    """Within backticks only the bar of a table's cell has to be told apart."""
    return text.replace("|", "\\|")


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
