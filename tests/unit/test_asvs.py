"""The list of OWASP ASVS 5.0.0 tells of each requirement of levels 1 and 2 once, counts right, names what exists."""

import re
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from keyrack.domain.people import ADDRESS_PATIENCE, PERSON_PATIENCE
from keyrack.service.people import door, passwords, weak

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs/asvs.md").read_text(encoding="utf-8")
ANSWERS: Final = ("yes", "partly", "no", "does not apply")
FIRST: Final = """
    1.2.1 1.2.2 1.2.3 1.2.4 1.2.5 1.3.1 1.3.2 1.5.1 2.1.1 2.2.1 2.2.2 2.3.1 3.2.1 3.2.2 3.3.1 3.4.1 3.4.2 3.5.1
    3.5.2 3.5.3 4.1.1 4.4.1 5.2.1 5.2.2 5.3.1 5.3.2 6.1.1 6.2.1 6.2.2 6.2.3 6.2.4 6.2.5 6.2.6 6.2.7 6.2.8 6.3.1
    6.3.2 6.4.1 6.4.2 7.2.1 7.2.2 7.2.3 7.2.4 7.4.1 7.4.2 8.1.1 8.2.1 8.2.2 8.3.1 9.1.1 9.1.2 9.1.3 9.2.1 10.4.1
    10.4.2 10.4.3 10.4.4 10.4.5 11.3.1 11.3.2 11.4.1 12.1.1 12.2.1 12.2.2 13.4.1 14.2.1 14.3.1 15.1.1 15.2.1
    15.3.1
"""
"""The numbers of level 1; numbering by OWASP, CC BY-SA 4.0."""
SECOND: Final = """
    1.1.1 1.1.2 1.2.6 1.2.7 1.2.8 1.2.9 1.3.3 1.3.4 1.3.5 1.3.6 1.3.7 1.3.8 1.3.9 1.3.10 1.3.11 1.4.1 1.4.2
    1.4.3 1.5.2 2.1.2 2.1.3 2.2.3 2.3.2 2.3.3 2.3.4 2.4.1 3.3.2 3.3.3 3.3.4 3.4.3 3.4.4 3.4.5 3.4.6 3.5.4 3.5.5
    3.7.1 3.7.2 4.1.2 4.1.3 4.2.1 4.3.1 4.3.2 4.4.2 4.4.3 4.4.4 5.1.1 5.2.3 5.4.1 5.4.2 5.4.3 6.1.2 6.1.3 6.2.9
    6.2.10 6.2.11 6.2.12 6.3.3 6.3.4 6.4.3 6.4.4 6.5.1 6.5.2 6.5.3 6.5.4 6.5.5 6.6.1 6.6.2 6.6.3 6.8.1 6.8.2
    6.8.3 6.8.4 7.1.1 7.1.2 7.1.3 7.3.1 7.3.2 7.4.3 7.4.4 7.4.5 7.5.1 7.5.2 7.6.1 7.6.2 8.1.2 8.2.3 8.4.1 9.2.2
    9.2.3 9.2.4 10.1.1 10.1.2 10.2.1 10.2.2 10.3.1 10.3.2 10.3.3 10.3.4 10.4.6 10.4.7 10.4.8 10.4.9 10.4.10
    10.4.11 10.5.1 10.5.2 10.5.3 10.5.4 10.5.5 10.6.1 10.6.2 10.7.1 10.7.2 10.7.3 11.1.1 11.1.2 11.2.1 11.2.2
    11.2.3 11.3.3 11.4.2 11.4.3 11.4.4 11.5.1 11.6.1 12.1.2 12.1.3 12.3.1 12.3.2 12.3.3 12.3.4 13.1.1 13.2.1
    13.2.2 13.2.3 13.2.4 13.2.5 13.3.1 13.3.2 13.4.2 13.4.3 13.4.4 13.4.5 14.1.1 14.1.2 14.2.2 14.2.3 14.2.4
    14.3.2 14.3.3 15.1.2 15.1.3 15.2.2 15.2.3 15.3.2 15.3.3 15.3.4 15.3.5 15.3.6 15.3.7 16.1.1 16.2.1 16.2.2
    16.2.3 16.2.4 16.2.5 16.3.1 16.3.2 16.3.3 16.3.4 16.4.1 16.4.2 16.4.3 16.5.1 16.5.2 16.5.3 17.1.1 17.2.1
    17.2.2 17.2.3 17.2.4 17.3.1 17.3.2
"""
"""Those that level 2 adds."""


def rows() -> list[list[str]]:
    """The rows of the chapters: number, what it asks, answer, where."""
    chapters = PAGE[PAGE.index("\n## V1 ") :]
    return [line.strip("| ").split(" | ") for line in chapters.splitlines() if re.match(r"\| V\d", line)]


def answer_of(row: list[str]) -> str:
    """The answer, without its reason."""
    return row[2].partition(":")[0]


def table(heading: str) -> dict[str, str]:
    """The first two cells of each row of the table below this text."""
    lines = PAGE[PAGE.index(heading) :].split("\n\n")
    (found,) = [each for each in lines if each.lstrip().startswith("|")][:1]
    cells = [line.strip("| ").split(" | ") for line in found.strip().splitlines()[2:]]
    return {each[0]: each[1] for each in cells}


def test_every_requirement_is_there_once_and_in_order() -> None:
    """70 of level 1, and 183 more of level 2."""
    wanted = [*FIRST.split(), *SECOND.split()]
    assert (len(FIRST.split()), len(SECOND.split()), len(set(wanted))) == (70, 183, 253)

    ordered = sorted(wanted, key=lambda each: [int(part) for part in each.split(".")])
    assert [row[0] for row in rows()] == [f"V{each}" for each in ordered]


def test_every_row_has_an_answer_in_few_words() -> None:
    """Whoever answers anything but "does not apply" says where."""
    for row in rows():
        number, asks, told, where = row
        assert answer_of(row) in ANSWERS, number
        assert len(asks.split()) <= 10, number
        assert len(told.partition(":")[2].split()) <= 12, number
        assert answer_of(row) == "yes" or ": " in told, number
        assert answer_of(row) == "does not apply" or "`" in where, number


def test_the_counts_are_those_of_the_rows() -> None:
    """As they stand at the top."""
    counted = Counter(map(answer_of, rows()))
    wanted = {answer: str(counted[answer]) for answer in ANSWERS} | {"together": str(len(rows()))}
    assert table("| answer | how many |") == wanted


def test_everything_that_falls_short_is_gathered() -> None:
    """With the same answer."""
    short = {row[0]: answer_of(row) for row in rows() if answer_of(row) in ("partly", "no")}
    assert table("## What falls short") == short


@pytest.mark.parametrize(
    "named", sorted(set(re.findall(r"`(\w[\w/.-]*/[\w.-]+|[A-Z]+\.md|pyproject\.toml)(?:`|::)", PAGE)))
)
def test_every_file_that_is_named_is_there(named: str) -> None:
    """A document, a source or a test."""
    assert (ROOT / named).is_file()


def test_every_test_that_is_named_is_there() -> None:
    """By its name, in its file."""
    named = set(re.findall(r"`([\w/.-]+)::(\w+)`", PAGE))
    assert len(named) > 80
    assert [] == [
        f"{file}::{test}"
        for file, test in sorted(named)
        if not re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    ]


def test_the_words_of_this_place_are_written_down() -> None:
    """And the numbers of passwords, guesses and log-ins."""
    told = " ".join((ROOT / "docs/log-ins.md").read_text(encoding="utf-8").split())
    ends = door.USUAL
    for text in (
        ", ".join(weak.PRODUCT),
        f"{passwords.SHORTEST} to {passwords.LONGEST} characters",
        f"fewer than {weak.LEFT_OVER} characters",
        f"| name, whoever asks | {PERSON_PATIENCE.free} |",
        f"its network of 64 bits) | {ADDRESS_PATIENCE.free} |",
        f"{ends.idle // 60} minutes idle, {ends.longest // 3600} hours in any case",
    ):
        assert text in told
