"""Every command of the tree can answer in JSON, and explains itself and its options in words that fit."""

import re

import pytest

from keyrack.shell.cli.app import command
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
