"""Calls that take long: nobody keeps others out with them, and odd requests are refused, not stumbled over."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keyrack.domain.rights import Grant, Role
from keyrack.shell.rest.v1 import journal
from keyrack.shell.rest.v1.problems import Problem
from keyrack.shell.rest.v1.turns import Turns
from keyrack.testing.rest import Face, open_face

URL = "/api/v1/journal"


@pytest.fixture
async def face(tmp_path: Path) -> AsyncIterator[Face]:
    async with open_face(tmp_path) as opened:
        yield opened


def test_turns_are_of_one_and_of_all() -> None:
    """And are given back."""
    turns = Turns(of_one=2, in_all=3)
    with turns.taken("a"), turns.taken("a"), turns.taken("b"):
        for who, told in (("a", "you have 2"), ("c", "too many")):
            with pytest.raises(Problem, match=told) as refused:
                turns.check(who)
            assert (refused.value.code, refused.value.headers) == ("too-many-requests", {"retry-after": "5"})
    turns.check("a")
    assert not turns._taken


@pytest.mark.parametrize(("what", "path"), [("following", "follow"), ("exporting", "export"), ("searching", "")])
async def test_one_auditor_leaves_room_for_others(face: Face, what: str, path: str) -> None:
    """By whichever key: turns are counted by the person."""
    turns = Turns(of_one=1, in_all=5)
    setattr(face.app.premises, what, turns)
    token = await face.person("aud", Grant(Role.AUDITOR))
    other = await face.person("other", Grant(Role.AUDITOR))
    url = f"{URL}/{path}".rstrip("/")
    with turns.taken("person-aud"):
        refused = await face.ask("GET", url, token)
        if path != "follow":
            assert (await face.ask("GET", url, other)).status == 200

    assert (refused.status, refused.code, refused.headers["retry-after"]) == (429, "too-many-requests", "5")
    assert not turns._taken


async def test_a_turn_is_over_when_the_reader_goes_away() -> None:
    """Also in the middle; and one that never begins takes none."""
    turns = Turns(of_one=1, in_all=1)

    async def lines() -> AsyncIterator[str]:
        while True:
            yield "x"
            await asyncio.sleep(0)

    never = journal._in_turn(turns, "a", lines())
    begun = journal._in_turn(turns, "a", lines())
    assert await anext(begun) == "x"
    with pytest.raises(Problem):
        turns.check("a")
    del begun, never
    for _ in range(5):
        await asyncio.sleep(0)
    turns.check("a")


@pytest.mark.parametrize("position", [-1, 10**30, True, 1.5, [1], {"a": 1}])
@pytest.mark.parametrize("path", ["", "/checkpoints"])
async def test_a_cursor_that_nobody_has_answered_is_none(face: Face, path: str, position: object) -> None:
    """Whatever number it holds: the database counts no further than 64 bits."""
    token = await face.person("aud", Grant(Role.AUDITOR))
    text = json.dumps([f"{URL}{path}", position]).encode()
    cursor = base64.urlsafe_b64encode(text).rstrip(b"=").decode()

    answer = await face.ask("GET", f"{URL}{path}?cursor={cursor}", token)

    assert (answer.status, answer.code) == (400, "bad-cursor")


@pytest.mark.parametrize("place", [[10**30, 1], [1, -(10**30)], ["x", 1], [True, 1], [None, 1]])
async def test_a_cursor_of_keys_that_nobody_has_answered_is_none(face: Face, place: list[object]) -> None:
    """The same one layer deeper."""
    await face.instance("prod")
    token = await face.person("vera", Grant(Role.VIEWER))
    inner = base64.urlsafe_b64encode(json.dumps(["created", False, *place]).encode()).rstrip(b"=").decode()
    template = "/api/v1/instances/{instance}/keys"
    outer = base64.urlsafe_b64encode(json.dumps([template, inner]).encode()).rstrip(b"=").decode()

    answer = await face.ask("GET", f"/api/v1/instances/prod/keys?cursor={outer}", token)

    assert (answer.status, answer.code) == (400, "bad-cursor")


@pytest.mark.parametrize("origin", ["http://[", "https://[::1", "null", "http://localhost", "localhost", ""])
async def test_an_odd_origin_is_another_site(face: Face, origin: str) -> None:
    """Not a fault of ours; and what a page without TLS says is not what this server's own says."""
    answer = await face.ask(
        "POST",
        "/api/v1/sessions",
        body={"name": "anna", "password": "tango fjord whisker", "cookie": True},
        headers={"origin": origin},
    )

    assert (answer.status, answer.code) == (403, "csrf")
