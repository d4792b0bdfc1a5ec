"""Every command of the tree can answer in JSON, and explains itself and its options in words that fit."""

import re
from typing import Any

import pytest

from keyrack.shell.cli.app import command, command_for
from keyrack.testing.cli_page import Command, commands

TREE = commands()
LEAVES = [each for each in TREE if not each.group]
WIDTH = 110
"""Columns of a help at the widest."""


def name(each: Command) -> str:
    return each.name


@pytest.mark.parametrize("each", LEAVES, ids=name)
def test_each_command_can_answer_in_json(each: Command) -> None:
    assert "--json" in {option for one in each.itself.params for option in one.opts}


@pytest.mark.parametrize("each", TREE, ids=name)
def test_each_help_begins_with_a_sentence_that_fits_into_the_list_of_commands(each: Command) -> None:
    longest = max(len(one.words[-1]) for one in TREE if one.words[:-1] == each.words[:-1])
    first = each.told.split("\n\n")[0].replace("\n", " ")
    sentence = re.split(r"(?<=\.) ", first)[0]

    assert re.fullmatch(r"[A-Z'].*\.", sentence), "a sentence, with a full stop"
    assert len(sentence) <= WIDTH - longest - 4, "the list of commands would cut it"


@pytest.mark.parametrize("each", LEAVES, ids=name)
def test_each_argument_and_option_says_what_it_is(each: Command) -> None:
    for one in each.itself.params:
        told = getattr(one, "help", None)
        assert told, one.name
        assert told.strip().endswith((".", "!")), f"{one.name}: {told}"


@pytest.mark.parametrize("each", LEAVES, ids=name)
def test_each_help_fits_a_terminal(each: Command) -> None:
    """No line is longer than the help's width, and none is cut."""
    context = each.itself.make_context(each.words[-1], [], resilient_parsing=True, max_content_width=WIDTH)
    for line in each.itself.get_help(context).splitlines():
        assert len(line) <= WIDTH
        assert line.startswith("Usage") or not line.endswith("...")


@pytest.mark.parametrize("each", LEAVES, ids=name)
def test_no_secret_is_an_argument(each: Command) -> None:
    """What stands on a command line is in the list of processes: passwords and keys come from files or a prompt."""
    for one in each.itself.params:
        named = one.metavar or ""
        secret = re.search(r"password|passphrase|secret|pin$|token$|api_key$", str(one.name))
        if secret and one.param_type_name == "option" and not getattr(one, "is_flag", False):
            assert re.search(r"FILE|LABEL|NAME|ID|DIR", named), one.name


def test_the_tree_is_whole() -> None:
    assert {"init", "serve", "status", "doctor", "instance", "cert", "key", "audit"} <= command().commands.keys()


def test_a_command_line_is_read_alike_whether_its_room_alone_was_imported_or_all() -> None:
    for first, each in command().commands.items():
        alone = command_for([first])

        assert list(alone.commands) == [first]
        assert _params(alone) == _params(command())
        assert _shape(alone.commands[first]) == _shape(each)


@pytest.mark.parametrize("words", [[], ["--help"], ["statsu"], ["--version"]], ids=str)
def test_whoever_names_no_room_is_told_of_all(words: list[str]) -> None:
    assert command_for(words) is command()


def _shape(each: Any) -> Any:
    """Names, helps and parameters of a command and of what is in it."""
    inner = getattr(each, "commands", {})
    return each.name, each.help, _params(each), {name: _shape(one) for name, one in inner.items()}


def _params(each: Any) -> Any:
    return [(one.name, one.opts, getattr(one, "help", None)) for one in each.params]
