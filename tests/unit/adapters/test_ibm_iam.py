"""Tokens: fetched once for all who wait, kept for most of their life, and their proof read from files each time."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from tests.unit.adapters.ibm_script import Asked, Script, Stage, answer, stage, token

from keyrack.adapters.key_managers.ibm.credentials import form_of
from keyrack.adapters.key_managers.ibm.exchange import Request
from keyrack.adapters.key_managers.ibm.iam import FetchedTokens, TokenOfFile
from keyrack.adapters.key_managers.ibm.pool import Pool
from keyrack.adapters.key_managers.ibm.reading import Answer
from keyrack.adapters.key_managers.ibm.settings import ApiKey, Origin, TrustedProfile
from keyrack.adapters.key_managers.ibm.wire import Route, context_of
from keyrack.ports.key_manager import KeyManagerFailed, KeyManagerRefused, KeyManagerUnavailable, Reason

REVOKED = {"errorCode": "BXNIM0415E", "errorMessage": "Provided API key could not be found", "context": {}}


class Steady:
    """A steady clock that jumps ahead when it is told to."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def clock() -> Steady:
    return Steady()


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Stage]:
    """IAM, whose tokens are numbered."""
    with stage(tmp_path) as made:
        made.iam = _numbered()
        yield made


def _numbered(life: int = 3600, seconds: float = 0) -> Script:
    count = 0

    def script(_: Asked) -> bytes:
        nonlocal count
        count += 1
        time.sleep(seconds)
        return token(f"token-{count}", life)

    return script


@contextmanager
def tokens_of(there: Stage, clock: Steady, source: ApiKey | TrustedProfile | None = None) -> Iterator[FetchedTokens]:
    route = Route(origin=Origin.of(there.url), context=context_of(there.ca), connect_seconds=2)
    pool = Pool("iam", route, connections=2, waiting=8, clock=clock)
    tokens = FetchedTokens(source or ApiKey(there.api_key), pool, clock)
    try:
        yield tokens
    finally:
        tokens.close()
        pool.close()


async def failing(tokens: FetchedTokens, clock: Steady, seconds: float = 3) -> KeyManagerFailed:
    with pytest.raises(KeyManagerFailed) as caught:
        await tokens.current(clock() + seconds)
    return caught.value


async def test_a_token_is_kept_for_four_fifths_of_its_life(there: Stage, clock: Steady) -> None:
    """Then another one is fetched beside the calls, which go on with the old one meanwhile."""
    with tokens_of(there, clock) as tokens:
        assert "token-1" == await tokens.current(clock() + 1)
        clock.ahead = 3600 * 0.79
        assert "token-1" == await tokens.current(clock() + 1)
        assert 1 == len(there.logins)
        clock.ahead = 3600 * 0.81

        assert "token-1" == await tokens.current(clock() + 1)

        await _until(lambda: len(there.logins) == 2)
        assert "token-2" == await _soon(tokens, clock)


async def test_a_dead_token_is_not_used(there: Stage, clock: Steady) -> None:
    """A little before its end it counts as dead."""
    with tokens_of(there, clock) as tokens:
        await tokens.current(clock() + 1)
        clock.ahead = 3595

        assert "token-2" == await tokens.current(clock() + 1)


async def test_iam_may_be_away_near_the_end_of_a_token(there: Stage, clock: Steady) -> None:
    """Calls go on with the old one, and IAM is not asked by each of them."""
    with tokens_of(there, clock) as tokens:
        await tokens.current(clock() + 1)
        there.iam = lambda _: answer(503)
        clock.ahead = 3600 * 0.9

        told = set()
        for _ in range(30):
            told.add(await tokens.current(clock() + 1))
            await asyncio.sleep(0.02)

        assert {"token-1"} == told
        assert 4 == len(there.logins), "one fetch, which is tried three times"


async def test_an_identity_that_was_revoked_ends_near_the_end_of_its_token(there: Stage, clock: Steady) -> None:
    """Who was sent away does not go on until the last second."""
    with tokens_of(there, clock) as tokens:
        await tokens.current(clock() + 1)
        there.iam = lambda _: answer(400, REVOKED)
        clock.ahead = 3600 * 0.85
        await tokens.current(clock() + 1)
        await _until(lambda: len(there.logins) == 2)
        await asyncio.sleep(0.05)

        refusal = await failing(tokens, clock)

        assert (KeyManagerRefused, Reason.IDENTITY) == (type(refusal), refusal.reason)


async def test_all_who_wait_get_the_one_that_is_fetched(there: Stage, clock: Steady) -> None:
    """Also those that had the same token refused."""
    there.iam = _numbered(seconds=0.1)
    with tokens_of(there, clock) as tokens:
        assert {"token-1"} == set(await asyncio.gather(*(tokens.current(clock() + 2) for _ in range(40))))
        assert {"token-2"} == set(await asyncio.gather(*(tokens.another("token-1", clock() + 2) for _ in range(40))))
        assert "token-2" == await tokens.another("token-1", clock() + 2)
        assert 2 == len(there.logins)


async def test_one_that_did_not_help_is_not_fetched_again_at_once(there: Stage, clock: Steady) -> None:
    with tokens_of(there, clock) as tokens:
        first = await tokens.current(clock() + 1)
        second = await tokens.another(first, clock() + 1)
        tokens.was_useless()
        assert second is not None
        assert await tokens.another(second, clock() + 1) is None
        clock.ahead = 11
        assert "token-3" == await tokens.another(second, clock() + 1)


async def test_who_gives_up_leaves_the_others_waiting(there: Stage, clock: Steady) -> None:
    """And who cannot wait any longer is told that nobody answers."""
    there.iam = _numbered(seconds=0.4)
    with tokens_of(there, clock) as tokens:
        patient = asyncio.create_task(tokens.current(clock() + 2))
        await asyncio.sleep(0.05)
        cancelled = asyncio.create_task(tokens.current(clock() + 2))
        await asyncio.sleep(0.01)
        cancelled.cancel()
        failure = await failing(tokens, clock, 0.1)

        assert (KeyManagerUnavailable, Reason.UNREACHABLE) == (type(failure), failure.reason)
        assert "token-1" == await patient
        assert 1 == len(there.logins)


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_refusal_is_about_who_asks(there: Stage, clock: Steady, status: int) -> None:
    """It is not tried again, and told with IAM's own code."""
    there.iam = lambda _: answer(status, REVOKED)
    with tokens_of(there, clock) as tokens:
        refusal = await failing(tokens, clock)

    assert (KeyManagerRefused, Reason.IDENTITY, f"{status} BXNIM0415E") == (type(refusal), refusal.reason, refusal.code)
    assert "Provided API key could not be found" in str(refusal)
    assert 1 == len(there.logins)


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (answer(429), Reason.OVERLOADED),
        (answer(500), Reason.FAILING),
        (answer(503, b"<html>"), Reason.FAILING),
        (answer(404, b"<html>"), Reason.FAILING),
        (answer(200, b"<html>"), Reason.FAILING),
        (answer(200, {"access_token": ""}), Reason.FAILING),
        (answer(200, {"access_token": "line\nbreak", "expires_in": 1}), Reason.FAILING),
        (answer(200, []), Reason.FAILING),
    ],
)
async def test_what_says_nothing_is_tried_again(there: Stage, clock: Steady, told: bytes, reason: Reason) -> None:
    there.iam = lambda _: told
    with tokens_of(there, clock) as tokens:
        failure = await failing(tokens, clock)

    assert isinstance(failure, KeyManagerUnavailable)
    assert (reason, 3) == (failure.reason, len(there.logins))


async def test_its_own_clock_says_how_old_a_token_is(there: Stage, clock: Steady) -> None:
    """``expiration`` is long past by our clock, and ``expires_in`` counts: no two wall clocks are compared."""
    with tokens_of(there, clock) as tokens:
        for _ in range(3):
            assert "token-1" == await tokens.current(clock() + 1)


class Watching(Pool):
    """Keeps what it was asked to send."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.bodies: list[tuple[bytearray, int]] = []

    async def ask(self, request: Request, until: float) -> Answer:
        assert request.body is not None
        self.bodies.append((request.body, len(request.body)))
        return await super().ask(request, until)


@pytest.mark.parametrize("told", [token(), answer(400, REVOKED), answer(503)])
async def test_the_form_with_the_api_key_is_wiped(there: Stage, clock: Steady, told: bytes) -> None:
    """However the request ends."""
    there.iam = lambda _: told
    route = Route(origin=Origin.of(there.url), context=context_of(there.ca))
    pool = Watching("iam", route, connections=1, waiting=1)
    with contextlib.suppress(KeyManagerFailed):
        await FetchedTokens(ApiKey(there.api_key), pool, clock).current(clock() + 2)
    pool.close()

    assert pool.bodies
    assert all(length > 50 and body == bytes(length) for body, length in pool.bodies)


async def test_an_odd_life_is_a_short_one(there: Stage, clock: Steady) -> None:
    """A token without a sensible life is used for some minutes."""
    there.iam = lambda _: answer(200, {"access_token": "odd", "expires_in": "an hour"})
    with tokens_of(there, clock) as tokens:
        await tokens.current(clock() + 1)
        clock.ahead = 400
        await tokens.current(clock() + 1)
        assert 1 == len(there.logins)
        clock.ahead = 600
        await tokens.current(clock() + 1)
        assert 2 == len(there.logins)


class TestProofs:
    """API keys and tokens in files."""

    async def test_another_api_key_counts_without_a_restart(self, there: Stage, clock: Steady) -> None:
        with tokens_of(there, clock) as tokens:
            await tokens.current(clock() + 1)
            there.api_key.write_text("another one\n")
            clock.ahead = 3600
            await tokens.current(clock() + 1)

        forms = [parse_qs(asked.body.decode()) for asked in there.logins]
        assert [["an API key"], ["another one"]] == [form["apikey"] for form in forms]
        assert {"urn:ibm:params:oauth:grant-type:apikey"} == {form["grant_type"][0] for form in forms}

    async def test_a_trusted_profile(self, there: Stage, clock: Steady, tmp_path: Path) -> None:
        """By identifier or by name, with the compute resource's token."""
        file = tmp_path / "vault-token"
        file.write_text("a.b+c/d=")
        for profile in ("Profile-1234", "my profile & yours"):
            with tokens_of(there, clock, TrustedProfile(profile, file)) as tokens:
                await tokens.current(clock() + 1)

        first, second = [parse_qs(asked.body.decode()) for asked in there.logins]
        assert ["urn:ibm:params:oauth:grant-type:cr-token"] == first["grant_type"]
        assert [["a.b+c/d="], ["Profile-1234"]] == [first["cr_token"], first["profile_id"]]
        assert ["my profile & yours"] == second["profile_name"]

    @pytest.mark.parametrize("content", [None, b"", b"\n", b" \r\n second line"])
    async def test_a_file_that_holds_none_is_nobody_s_refusal(
        self, there: Stage, clock: Steady, content: bytes | None
    ) -> None:
        """It is our own disorder: what is cached may still be used for a while."""
        there.api_key.unlink()
        if content is not None:
            there.api_key.write_bytes(content)
        with tokens_of(there, clock) as tokens:
            failure = await failing(tokens, clock)

        assert (KeyManagerUnavailable, Reason.IDENTITY) == (type(failure), failure.reason)
        assert str(there.api_key) in str(failure)
        assert [] == there.logins

    @pytest.mark.parametrize("key", ["plain", "with space", "ü&=%+/", "  blanks around it \r"])
    def test_every_key_is_written_so_that_it_is_read_the_same(self, tmp_path: Path, key: str) -> None:
        (tmp_path / "key").write_bytes(key.encode() + b"\nanother line")

        form = form_of(ApiKey(tmp_path / "key"))

        assert [key.strip()] == parse_qs(form.decode())["apikey"]

    async def test_a_token_file_is_read_when_it_changes(self, tmp_path: Path) -> None:
        """And kept otherwise; one that was replaced by a rename counts too."""
        file = tmp_path / "token"
        file.write_text("one")
        tokens = TokenOfFile(file)
        assert "one" == await tokens.current(0)
        assert await tokens.another("one", 0) is None

        file.write_text("two\n")
        assert "two" == await tokens.current(0)
        (tmp_path / "new").write_text("three")
        (tmp_path / "new").rename(file)
        assert "three" == await tokens.another("two", 0)

        file.write_text("not a token\x01")
        with pytest.raises(KeyManagerUnavailable):
            await tokens.current(0)
        file.unlink()
        with pytest.raises(KeyManagerUnavailable):
            await tokens.current(0)


async def _until(true: Callable[[], bool]) -> None:
    for _ in range(200):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it does not come about")


async def _soon(tokens: FetchedTokens, clock: Steady) -> str:
    """The token once what is being fetched has come."""
    await asyncio.sleep(0.1)
    return await tokens.current(clock() + 1)
