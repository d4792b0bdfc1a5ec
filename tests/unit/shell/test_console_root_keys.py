"""The console's pages of root keys: who may do what through them and around them, and what has to be proved first."""

import re
from collections.abc import AsyncIterator, Mapping
from html import unescape
from pathlib import Path
from typing import Final

import pytest

from keyrack.domain.rights import PROOF_LASTS
from keyrack.ports.key_manager import KeyManagerUnavailable
from keyrack.shell.console.rooms.root_keys_words import ACTS
from keyrack.testing.people import PASSWORD
from keyrack.testing.rest import Answer
from keyrack.testing.root_key_room import RootKeyRoom, root_key_room

NAME: Final = "vmware"
WORDS: Final = {"confirmation": NAME}
MATRIX: Final[Mapping[str, tuple[Mapping[str, str], set[str], int]]] = {
    "new": ({"name": "another"}, {"adam", "sofia"}, 1),
    "policies": ({"rotate_every_months": "3"}, {"sofia"}, 1),
    "rewrap": ({}, {"adam", "sofia"}, 1),
    "rotate": ({}, {"adam", "sofia"}, 1),
    "disable": (WORDS, {"sofia"}, 2),
    "enable": ({}, {"sofia"}, 1),
    "delete": (WORDS, {"sofia"}, 5),
    "restore": ({}, {"sofia"}, 1),
}
"""Who may do what, and the state that it leads to; in an order in which each can be done."""


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[RootKeyRoom]:
    async with root_key_room(tmp_path) as room:
        yield room


async def test_who_may_do_what_with_which_outcome(room: RootKeyRoom) -> None:
    """The form sent directly, as if there were no page: who may not changes nothing, and is told so."""
    made = await room.make(NAME)
    for act, (typed, allowed, state) in MATRIX.items():
        path = f"/root-keys/embedded/{act if act == 'new' else f'{made}/{act}'}"
        for who in ("omar", "vera", "aud", "adam", "sofia"):
            before = await state_of(room, made)
            answer = await room.send(who, path, **typed)
            if who in allowed:
                assert answer.status == 303 or who != "sofia", (act, who, text_of(answer))
            else:
                assert answer.status == 403, (act, who)
                assert await state_of(room, made) == before
            room.later.append(3601)
        assert await state_of(room, made) == state, act


async def test_nothing_is_done_without_the_words_or_with_others(room: RootKeyRoom) -> None:
    made = await room.make(NAME)
    await room.instance("prod", made, 2)
    for act in ("disable", "delete"):
        page = await room.look("sofia", f"/root-keys/embedded/{made}/{act}")
        assert (page.status, "2 keys that vCenter has not named" in text_of(page)) == (200, True)
        assert "after at most 35 seconds" in text_of(page)
        for typed, status in (({}, 409), ({"confirmation": ""}, 409), ({"confirmation": "prod"}, 422)):
            answer = await room.send("sofia", f"/root-keys/embedded/{made}/{act}", **typed)
            assert answer.status == status
        assert await state_of(room, made) == 1


async def test_what_stops_machines_wants_a_fresh_proof(room: RootKeyRoom) -> None:
    """A log-in that somebody has left open does not do for it; the password beside the words does."""
    made = await room.make(NAME)
    room.clock.now += PROOF_LASTS + 1
    for act in ("disable", "delete"):
        path = f"/root-keys/embedded/{made}/{act}"
        asked = await room.send("sofia", path, **WORDS)
        assert (asked.status, b'name="proof"' in asked.body, await state_of(room, made)) == (403, True, 1)
        assert f'value="{NAME}"'.encode() in asked.body
        assert (await room.send("sofia", path, **WORDS, proof="no such password")).status == 401
        assert await state_of(room, made) == 1
    done = await room.send("sofia", f"/root-keys/embedded/{made}/disable", **WORDS, proof=PASSWORD)
    assert (done.status, await state_of(room, made)) == (303, 2)


async def test_only_what_one_may_is_offered(room: RootKeyRoom) -> None:
    made = await room.make(NAME)
    offered = {"adam": ["rotate"], "sofia": ["rotate", "disable", "delete"], "vera": [], "aud": []}
    for who, acts in offered.items():
        page = (await room.look(who, f"/root-keys/embedded/{made}")).body.decode()
        assert re.findall(rf'href="/root-keys/embedded/{made}/(\w+)"', page) == acts
        assert ("Set the policies" in page) is (who == "sofia")
        told = text_of(await room.look(who, f"/root-keys/embedded/{made}/delete"))
        assert ("Your roles do not allow this" in told) is (who != "sofia")


async def test_the_live_part_ends_with_the_rewrap(room: RootKeyRoom) -> None:
    """While keys are behind it asks again; once all are counted it does not."""
    made = await room.make(NAME)
    await room.instance("prod", made, 3)
    await room.send("sofia", f"/root-keys/embedded/{made}/rotate")
    await room.rewrapped(made)
    part = (await room.look("vera", f"/live/root-keys/embedded/{made}/rewrap")).body.decode()
    assert "The newest version wraps all 3 keys" in part
    assert "hx-trigger" not in part
    assert (await room.look("vera", "/live/root-keys/embedded/none/rewrap")).status == 404


async def test_one_key_manager_that_does_not_answer_hides_no_other(room: RootKeyRoom) -> None:
    """And IBM's root keys are listed, with where they are administered."""
    await room.make(NAME)
    await room.elsewhere.create_root_key("theirs")
    told = text_of(await room.look("vera", "/root-keys"))
    assert NAME in told
    assert "theirs" in told
    assert "administered at IBM" in told
    assert "administered at IBM" in text_of(await room.look("sofia", "/root-keys/kp/theirs"))

    async def silent() -> None:
        raise KeyManagerUnavailable("nobody answers")

    room.elsewhere.list_root_keys = silent  # type: ignore[assignment,method-assign]
    told = text_of(await room.look("vera", "/root-keys"))
    assert NAME in told
    assert "cannot be listed now" in told


def test_every_act_has_its_words() -> None:
    for act in ACTS.values():
        assert act.happens
        assert act.done.endswith(".")
        assert act.stops is (act.name in {"disable", "delete"})


async def state_of(room: RootKeyRoom, root_key: str) -> int:
    """Key Protect's number."""
    return (await room.manager.describe_root_key(root_key)).state


def text_of(answer: Answer) -> str:
    """What a page says, without its marks."""
    page = answer.body.decode().partition("<main")[2]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page)))
