"""Lists of keys that are meant to do harm: they end, and keep nobody waiting for long."""

import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.unit.adapters.ibm_script import Asked, Stage, answer, stage

from keyrack.adapters.key_managers.ibm import client, records
from keyrack.adapters.key_managers.ibm.client import MOST_LISTED, PAGE
from keyrack.adapters.key_managers.ibm.key_protect import KeyProtect
from keyrack.adapters.key_managers.ibm.reading import Answer
from keyrack.ports.key_manager import KeyManagerUnavailable, Reason

WITHIN = 2.0
"""Seconds, of which a machine with nothing else to do needs a tenth; without bounds each takes many times as long."""


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as made:
        yield made


@pytest.fixture
async def manager(there: Stage) -> AsyncIterator[KeyProtect]:
    made = there.adapter(answer_seconds=10.0, write_seconds=10.0)
    yield made
    await made.close()


def longest(value: bytes, before: bytes = b'{"resources":[') -> bytes:
    """As many of these values as an answer may have bytes."""
    return before + b",".join([value] * ((MOST_LISTED - 100) // (len(value) + 1))) + b"]}"


@pytest.mark.parametrize(
    "body",
    [longest(b'{"id":"a","state":1}'), longest(b"[]"), longest(b"0", b'{"numbers":['), longest(b'{"a":0}')],
    ids=["keys", "lists", "numbers", "objects"],
)
def test_millions_of_values_are_refused_before_they_are_read(body: bytes) -> None:
    """Whoever reads them holds up the loop, and with it every handshake."""
    began = time.perf_counter()

    with pytest.raises(KeyManagerUnavailable) as failed:
        records.keys_in(Answer(200, {}, bytearray(body)))

    assert Reason.FAILING is failed.value.reason
    assert time.perf_counter() - began < WITHIN


def test_more_keys_than_key_protect_ever_gives_are_refused() -> None:
    keys = json.dumps({"resources": [{"id": "a", "state": 1}] * (records.MOST_KEYS + 1)})

    with pytest.raises(KeyManagerUnavailable):
        records.keys_in(Answer(200, {}, bytearray(keys.encode())))


def test_a_page_of_keys_with_everything_that_a_key_can_have_is_read() -> None:
    """Names, descriptions, tags and aliases as long as they may be, and commas in all of them."""
    key = {
        "id": "a" * 36,
        "name": "n" * 90,
        "state": 1,
        "extractable": True,
        "description": "," * 240,
        "tags": ["t" * 30] * 30,
        "aliases": ["a" * 90] * 5,
        **{f"field{number}": {"a": 1, "b": 2} for number in range(30)},
    }

    page = records.keys_in(Answer(200, {}, bytearray(json.dumps({"resources": [key] * PAGE}).encode())))

    assert PAGE == len(page.keys)


@pytest.mark.parametrize("identifier", ["", "a b", "a\x1b[2J", "a\x9b2J", "é", "a" * 256, 7, None])
def test_an_identifier_is_one(identifier: object) -> None:
    """It stands in logs, on screens and in wrapped keys."""
    for key in ({"id": identifier, "state": 1}, {"id": "a", "state": 1, "keyVersion": {"id": identifier or "\n"}}):
        with pytest.raises(KeyManagerUnavailable):
            records.keys_in(Answer(200, {}, bytearray(json.dumps({"resources": [key]}).encode())))


async def test_a_list_without_an_end_is_given_up(
    there: Stage, manager: KeyProtect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As somebody on the way makes one who leaves out the offset: each page is the first one."""
    monkeypatch.setattr(client, "MOST_PAGES", 3)
    page = answer(200, {"resources": [{"id": f"key-{n}", "state": 1, "extractable": True} for n in range(PAGE)]})
    asked = []

    def script(request: Asked) -> bytes:
        asked.append(request.path)
        return page

    there.script = script

    with pytest.raises(KeyManagerUnavailable, match="no end"):
        _ = [key async for key in manager.list_standard_keys("")]

    assert 3 == len(asked)
