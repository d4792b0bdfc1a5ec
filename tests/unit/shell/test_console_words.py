"""Four languages, whole: each text is there in each, with everything that is filled in; and what use cases tell too."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from starlette.requests import Request

from keyrack.service.office.refusals import Refused
from keyrack.shell.console.words import FILES, LANGUAGES, SOURCE, Words, shape_of, spoken, words_of

FOREIGN = [tag for tag in LANGUAGES if tag != SOURCE]
HOLES = re.compile(r"%\(\w+\)[sd]|\{\d\}|%%")
GATHER = runpy.run_path(str(Path(__file__).parents[3] / "docs" / "texts.py"))


def catalog(tag: str) -> Catalog:
    with (FILES / f"{tag}.po").open("rb") as opened:
        return read_po(opened, locale=tag.replace("-", "_"))


@pytest.fixture(scope="module")
def gathered() -> Any:
    return GATHER["texts"]()


@pytest.mark.parametrize("tag", FOREIGN)
def test_a_language_has_every_text_and_no_other(tag: str, gathered: Any) -> None:
    there = {each.id if isinstance(each.id, str) else tuple(each.id) for each in catalog(tag) if each.id}
    assert (set(gathered) - there, there - set(gathered)) == (set(), set()), "run 'make texts', and translate"


@pytest.mark.parametrize("tag", FOREIGN)
def test_nothing_is_left_untranslated_or_doubtful(tag: str) -> None:
    empty = [
        each.id
        for each in catalog(tag)
        if each.id and (each.fuzzy or not (each.string if isinstance(each.id, str) else all(each.string or ())))
    ]
    assert empty == []


@pytest.mark.parametrize("tag", FOREIGN)
def test_what_is_filled_in_is_filled_in_everywhere(tag: str) -> None:
    wrong = []
    for each in catalog(tag):
        if not each.id:
            continue
        ids = [each.id] if isinstance(each.id, str) else list(each.id)
        strings = [each.string] if isinstance(each.string, str) else list(each.string or ())
        wanted = set(HOLES.findall(ids[-1]))
        wrong += [(ids[0], string) for string in strings if set(HOLES.findall(string)) != wanted]
    assert wrong == []


def test_what_a_use_case_tells_is_known_again_by_its_shape() -> None:
    german = words_of("de")
    told = str(Refused("the name 'prod' is taken; use another"))
    shapes = [(shape_of("the name {1} is taken; use {2}"), "{2} nehmen: {1} ist vergeben")]
    words = Words("de", german.locale, german.book, shapes)
    assert words.told(told) == "another nehmen: 'prod' ist vergeben"
    assert words.told("nobody has ever said this") == "nobody has ever said this"
    assert words.told("") == ""


@pytest.mark.parametrize(
    ("header", "cookie", "tag"),
    [
        ("", "", "en"),
        ("de-AT,de;q=0.9,en;q=0.8", "", "de"),
        ("fr,es;q=0.5,de;q=0.7", "", "de"),
        ("zh-CN,zh;q=0.9", "", "zh-Hans"),
        ("zh-Hans-CN", "", "zh-Hans"),
        ("zh-TW", "", "en"),
        ("de;q=nonsense, es", "", "es"),
        ("de", "es", "es"),
        ("de", "xx", "de"),
    ],
)
def test_a_language_is_chosen_by_cookie_then_by_the_browser(header: str, cookie: str, tag: str) -> None:
    headers = [(b"accept-language", header.encode()), (b"cookie", f"keyrack-language={cookie}".encode())]
    assert spoken(Request({"type": "http", "headers": headers})).tag == tag


def test_numbers_and_times_are_as_the_language_has_them() -> None:
    assert [words_of(tag).number(100000) for tag in LANGUAGES] == ["100,000", "100.000", "100.000", "100,000"]
    assert words_of("de").ago(0, 3 * 86400) == "vor 3 Tagen"
    assert "2026年" in words_of("zh-Hans").moment(1795000000)
