"""What answers and silences come to: a refusal that counts, or nobody who could say; and how often is asked."""

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.adapters.ibm_script import (
    ROOT_KEY,
    Asked,
    Script,
    Stage,
    answer,
    error,
    key,
    keys,
    stage,
    token,
)

from keyrack.adapters.key_managers.ibm.key_protect import KeyProtect
from keyrack.adapters.key_managers.ibm.settings import IamSettings, TokenFile
from keyrack.domain.secret import Secret
from keyrack.ports.key_manager import (
    KeyManagerFailed,
    KeyManagerRefused,
    KeyManagerUnavailable,
    Reason,
)

CIPHERTEXT = b"Y2lwaGVydGV4dA=="
UNWRAPPED = {"plaintext": "QUJD", "keyVersion": {"id": "v1"}}


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as made:
        yield made


async def failing(call: Awaitable[Any]) -> KeyManagerFailed:
    """What a call fails with."""
    with pytest.raises(KeyManagerFailed) as caught:
        await call
    return caught.value


async def unwrap(manager: KeyProtect) -> bytes:
    with (await manager.unwrap(ROOT_KEY, CIPHERTEXT, ("a",))).plaintext as opened:
        return bytes(opened.reveal())


REFUSALS = [
    (error(400, "INVALID_FIELD_ERR"), Reason.REQUEST, "400 INVALID_FIELD_ERR"),
    (error(400, "KEY_EXPIRED_ERR"), Reason.STATE, "400 KEY_EXPIRED_ERR"),
    (error(403, "CONFIG_RULE_CONFLICT_ERR"), Reason.NETWORK, "403 CONFIG_RULE_CONFLICT_ERR"),
    (error(403), Reason.NETWORK, "403"),
    (error(404, "KEY_NOT_FOUND_ERR"), Reason.ABSENT, "404 KEY_NOT_FOUND_ERR"),
    (error(409, "KEY_ACTION_INVALID_STATE_ERR"), Reason.STATE, "409 KEY_ACTION_INVALID_STATE_ERR"),
    (error(409, "KEY_CREATE_IMPORT_ACCESS_ERR"), Reason.POLICY, "409 KEY_CREATE_IMPORT_ACCESS_ERR"),
    (error(410, "KEY_DELETED_ERR"), Reason.DELETED, "410 KEY_DELETED_ERR"),
    (error(410), Reason.DELETED, "410"),
    (error(422, "UNPROCESSABLE_CIPHERTEXT_ERR"), Reason.CIPHERTEXT, "422 UNPROCESSABLE_CIPHERTEXT_ERR"),
    (error(418), Reason.REQUEST, "418"),
    (answer(418, b"<html>", content_type="text/html"), Reason.REQUEST, "418"),
    # Not in the words of Key Protect: it says nothing about a key.
    (answer(404, b"<html>default backend", content_type="text/html"), Reason.OTHER, "404"),
    (answer(410), Reason.OTHER, "410"),
]


@pytest.mark.parametrize(("told", "reason", "code"), REFUSALS, ids=[each[2] for each in REFUSALS])
async def test_refusals_are_final(there: Stage, told: bytes, reason: Reason, code: str) -> None:
    """They are asked for once, and close a circuit rather than open it."""
    there.script = lambda _: told
    manager = there.adapter()

    refusal = await failing(unwrap(manager))

    assert isinstance(refusal, KeyManagerRefused)
    assert (reason, code, 1, 1) == (refusal.reason, refusal.code, len(there.asked), len(there.logins))
    assert (1, 0, "closed") == (manager.condition().refusals, manager.condition().failures, manager.condition().circuit)
    await manager.close()


@pytest.mark.parametrize("status", [408, 425, 429, 500, 501, 502, 503, 504, 599, 302])
async def test_what_says_nothing_is_asked_three_times(there: Stage, status: int) -> None:
    """Within the one time of the call, and told with the status."""
    there.script = lambda _: error(status, "SOME_ERR")
    manager = there.adapter()

    failure = await failing(unwrap(manager))

    assert isinstance(failure, KeyManagerUnavailable)
    assert 3 == len(there.asked)
    assert (Reason.OVERLOADED if status == 429 else Reason.FAILING) == failure.reason
    told = manager.condition()
    assert (1, 2, 1, 0) == (told.calls, told.retries, told.failures, told.refusals)
    await manager.close()


async def test_a_gateway_s_words_are_told(there: Stage) -> None:
    """HPCS says in plain text that it is not initialised. Control characters and endless texts are not passed on."""
    said = b"no healthy upstream: no crypto units\x1b[31m are in\nkms-initialized state " + b"x" * 5000
    there.script = lambda _: answer(503, said, content_type="text/plain")
    manager = there.adapter()

    told = str(await failing(unwrap(manager)))

    assert "no healthy upstream: no crypto units [31m are in kms-initialized state" in told
    assert told.isprintable()
    assert len(told) < 500
    await manager.close()


async def test_one_failure_is_made_good(there: Stage) -> None:
    """The second answer counts."""
    there.script = _in_turn(error(503), answer(200, UNWRAPPED))
    manager = there.adapter()

    assert b"ABC" == await unwrap(manager)
    assert (1, 0) == (manager.condition().retries, manager.condition().failures)
    await manager.close()


async def test_what_keeps_something_new_is_asked_for_once(there: Stage) -> None:
    """It may have been done: whoever asked looks."""
    there.script = lambda _: error(503)
    manager = there.adapter()

    assert isinstance(await failing(manager.put_standard_key("name", b"x")), KeyManagerUnavailable)
    assert isinstance(await failing(manager.create_root_key("name")), KeyManagerUnavailable)
    assert isinstance(await failing(manager.rotate_root_key(ROOT_KEY)), KeyManagerUnavailable)
    assert isinstance(await failing(manager.disable_root_key(ROOT_KEY)), KeyManagerUnavailable)
    assert isinstance(await failing(manager.delete_root_key(ROOT_KEY)), KeyManagerUnavailable)
    assert 5 == len(there.asked)
    await manager.close()


async def test_a_deletion_is_harmless(there: Stage) -> None:
    """That the key is gone already is no error, be it by the first attempt."""
    there.script = _in_turn(error(504), error(410, "KEY_DELETED_ERR"))
    manager = there.adapter()

    await manager.delete_standard_key(ROOT_KEY)

    assert ["DELETE", "DELETE"] == [each.method for each in there.asked]
    await manager.close()


class TestTokens:
    """Key Protect answers 401, or 400, for a token that it does not take, and 401 for a right that is missing."""

    @pytest.mark.parametrize(
        "told",
        [
            error(401),
            error(400, text="Bad Request: Token is expired"),
            error(400, "BEARER_SUB_EXTRACTION_ERR"),
        ],
    )
    async def test_a_stale_token_is_renewed_once(self, there: Stage, told: bytes) -> None:
        there.iam = _in_turn(token("stale"), token("fresh"))
        there.script = lambda asked: (
            answer(200, UNWRAPPED) if asked.headers["authorization"] == "Bearer fresh" else told
        )
        manager = there.adapter()

        assert b"ABC" == await unwrap(manager)
        assert (2, 2) == (len(there.asked), len(there.logins))
        assert 0 == manager.condition().retries, "it is no failure"
        await manager.close()

    async def test_a_creation_is_made_again_with_a_new_token(self, there: Stage) -> None:
        """The refusal says that nothing was done."""
        there.iam = _in_turn(token("stale"), token("fresh"))
        there.script = _in_turn(error(401), answer(201, {"resources": [{"id": "made"}]}))
        manager = there.adapter()

        assert "made" == await manager.put_standard_key("name", b"x")
        await manager.close()

    async def test_the_second_refusal_is_final(self, there: Stage) -> None:
        """And for a while IAM is not asked again for the same."""
        logins = iter(range(100))
        there.iam = lambda _: token(f"token {next(logins)}".replace(" ", "-"))
        there.script = lambda _: error(401)
        manager = there.adapter()

        refusals = [await failing(unwrap(manager)) for _ in range(4)]

        assert {(KeyManagerRefused, Reason.PERMISSION, "401")} == {
            (type(each), each.reason, each.code) for each in refusals
        }
        assert (5, 2) == (len(there.asked), len(there.logins))
        await manager.close()

    async def test_a_token_of_the_wrong_form_is_no_refusal_of_the_request(self, there: Stage) -> None:
        """400 with words about an import token is what it says."""
        there.script = lambda _: error(400, "INCORRECT_NONCE_ERR", "The nonce is not the import token's")
        manager = there.adapter()

        assert Reason.REQUEST == (await failing(unwrap(manager))).reason
        assert (1, 1) == (len(there.asked), len(there.logins))
        await manager.close()

    async def test_a_token_of_a_file_is_read_again(self, there: Stage, tmp_path: Path) -> None:
        """Where the file holds the same one, the refusal is final."""
        file = tmp_path / "token"
        file.write_text("first\n")
        there.script = lambda _: error(401)
        manager = there.adapter(iam=IamSettings(source=TokenFile(file)))

        assert isinstance(await failing(unwrap(manager)), KeyManagerRefused)
        file.write_text("second\n")
        assert isinstance(await failing(unwrap(manager)), KeyManagerRefused)

        assert ["Bearer first", "Bearer second"] == [each.headers["authorization"] for each in there.asked]
        assert [] == there.logins
        await manager.close()


class TestSilence:
    """What goes wrong on the way. Each is nobody's refusal, and none takes longer than the call may."""

    @pytest.mark.parametrize(
        "name", ["hangs", "drips", "drips its head", "closes in good order", "is cut off", "resets", "says nothing"]
    )
    async def test_it_is_unavailable_in_time(self, there: Stage, name: str) -> None:
        there.script = lambda _: SILENCES[name]
        manager = there.adapter(answer_seconds=0.6)
        began = time.monotonic()

        failure = await failing(unwrap(manager))

        reason = Reason.FAILING if name == "closes in good order" else Reason.UNREACHABLE
        assert (KeyManagerUnavailable, reason) == (type(failure), failure.reason)
        assert time.monotonic() - began < 0.9
        assert (1 if name in ("hangs", "drips", "drips its head") else 3) == len(there.asked)
        await manager.close()

    @pytest.mark.parametrize(
        "told",
        [
            answer(200, b"<html>somebody else's page</html>"),
            answer(200, {"plaintext": "QUJD"}),
            answer(200, {"plaintext": "QUJ", "keyVersion": {"id": "v1"}}),
            answer(200, {"keyVersion": {"id": "v1"}}),
            answer(200, {"plaintext": "QUJD", "keyVersion": {"id": 7}}),
            answer(200, b'{"x":{"plaintext":"QUJD"},"plaintext":"QUJD","keyVersion":{"id":"v1"}}'),
            answer(200, b"[" * 60_000),
            answer(200, b"x" * 70_000),
            answer(200),
            b"nothing of HTTP\r\n\r\n",
        ],
        ids=lambda told: told[-40:].decode(),
    )
    async def test_nonsense_is_no_answer(self, there: Stage, told: bytes) -> None:
        """It is asked again, for the next one may make sense; nothing of it is told, for it may hold a key."""
        there.script = lambda _: told
        manager = there.adapter()

        failure = await failing(unwrap(manager))

        assert (KeyManagerUnavailable, Reason.FAILING, 3) == (type(failure), failure.reason, len(there.asked))
        assert "QUJ" not in str(failure)
        assert "somebody" not in str(failure)
        assert failure.__cause__ is None or "QUJ" not in str(failure.__cause__)
        await manager.close()

    async def test_nobody_is_there(self, there: Stage, tmp_path: Path) -> None:
        """The port is closed."""
        with socket.create_server(("127.0.0.1", 0)) as gone:
            port = gone.getsockname()[1]
        manager = there.adapter(url=f"https://127.0.0.1:{port}")

        failure = await failing(unwrap(manager))

        assert (KeyManagerUnavailable, Reason.UNREACHABLE) == (type(failure), failure.reason)
        assert f"127.0.0.1:{port}" in str(failure)
        await manager.close()

    async def test_a_connection_that_never_comes_about(self, there: Stage) -> None:
        """TCP is taken and TLS never answered: the time to connect is over, not only that of the call."""
        with socket.create_server(("127.0.0.1", 0)) as mute:
            port = mute.getsockname()[1]
            manager = there.adapter(url=f"https://127.0.0.1:{port}", connect_seconds=0.2, answer_seconds=0.5)
            began = time.monotonic()
            assert Reason.UNREACHABLE == (await failing(unwrap(manager))).reason
            assert time.monotonic() - began < 0.8
            await manager.close()

    async def test_an_untrusted_certificate_is_told_as_such(self, there: Stage, tmp_path: Path) -> None:
        """And not tried again."""
        (tmp_path / "other").mkdir()
        with stage(tmp_path / "other") as other:
            manager = there.adapter(url=other.url)
            failure = await failing(unwrap(manager))
            await manager.close()

            assert (KeyManagerUnavailable, Reason.TRUST, 1) == (type(failure), failure.reason, other.connections)
            assert [] == other.asked

    async def test_a_certificate_of_another_name_is_not_trusted(self, tmp_path: Path) -> None:
        """Though its authority is."""
        with stage(tmp_path, hosts=["kms.example.com"]) as other:
            manager = other.adapter()

            assert Reason.TRUST == (await failing(unwrap(manager))).reason
            assert [] == other.asked + other.logins
            await manager.close()

    async def test_an_unknown_name_is_told(self, there: Stage) -> None:
        manager = there.adapter(url="https://nobody.invalid")

        failure = await failing(unwrap(manager))

        assert Reason.UNREACHABLE == failure.reason
        assert "nobody.invalid" in str(failure)
        await manager.close()


class TestPatience:
    """Repetitions have a budget, and an answer may ask for peace."""

    async def test_repetitions_end_with_their_budget(self, there: Stage) -> None:
        """A hundred calls that fail become a hundred and twenty questions, not three hundred."""
        there.script = lambda asked: answer(200, UNWRAPPED) if len(there.asked) % 5 == 0 else error(503)
        manager = there.adapter()
        for _ in range(60):
            try:
                await unwrap(manager)
            except KeyManagerUnavailable:
                continue

        told = manager.condition()
        assert told.retries <= 10 + told.calls / 10
        assert len(there.asked) == told.calls - told.not_asked + told.retries
        await manager.close()

    async def test_who_asks_for_a_second_gets_it(self, there: Stage) -> None:
        """Where it fits into the time of the call."""
        there.script = _in_turn(error(429, retry_after="1"), answer(200, UNWRAPPED))
        manager = there.adapter()
        began = time.monotonic()

        assert b"ABC" == await unwrap(manager)
        assert 1.0 <= time.monotonic() - began < 1.5
        await manager.close()

    async def test_who_asks_for_more_is_left_in_peace(self, there: Stage) -> None:
        """The call fails at once, and until then nobody else asks."""
        there.script = lambda _: error(503, retry_after="30")
        manager = there.adapter()

        first = await failing(unwrap(manager))
        second = await failing(unwrap(manager))

        assert (1, "open", 1) == (len(there.asked), manager.condition().circuit, manager.condition().not_asked)
        assert (Reason.FAILING, Reason.FAILING) == (first.reason, second.reason)
        assert "30" in str(second) or "29" in str(second)
        await manager.close()

    async def test_five_failures_open_the_circuit(self, there: Stage) -> None:
        """Afterwards calls fail at once, and say why; the first that succeeds closes it."""
        there.script = lambda _: error(500)
        manager = there.adapter()
        for _ in range(5):
            await failing(unwrap(manager))
        asked = len(there.asked)
        began = time.monotonic()

        failure = await failing(unwrap(manager))

        assert asked == len(there.asked)
        assert time.monotonic() - began < 0.05
        assert "500" in str(failure)
        assert (Reason.FAILING, "open") == (failure.reason, manager.condition().circuit)
        there.script = lambda _: answer(200, UNWRAPPED)
        await asyncio.sleep(1.05)
        assert "half-open" == manager.condition().circuit
        assert b"ABC" == await unwrap(manager)
        assert "closed" == manager.condition().circuit
        await manager.close()


class TestReadOnly:
    """A regional disaster leaves a key manager that unwraps and takes nothing new, for hours."""

    @staticmethod
    def _script(asked: Asked) -> bytes:
        if asked.path.endswith("/unwrap"):
            return answer(200, UNWRAPPED)
        return error(503)

    async def test_it_is_known_after_two_attempts(self, there: Stage) -> None:
        """As long as reading works; the first success ends it."""
        there.script = self._script
        manager = there.adapter()
        told = [await failing(manager.put_standard_key("name", b"x"))]
        await unwrap(manager)
        assert not manager.condition().read_only
        told += [await failing(manager.put_standard_key("name", b"x")) for _ in range(8)]

        assert [Reason.FAILING] + [Reason.READ_ONLY] * 8 == [each.reason for each in told]
        assert all(isinstance(each, KeyManagerUnavailable) for each in told)
        assert (True, "closed") == (manager.condition().read_only, manager.condition().circuit)
        assert b"ABC" == await unwrap(manager), "the circuit is not opened by what cannot be kept"
        there.script = lambda _: answer(201, {"resources": [{"id": "made"}]})
        await manager.put_standard_key("name", b"x")
        assert not manager.condition().read_only
        await manager.close()

    async def test_who_does_not_answer_at_all_is_not_read_only(self, there: Stage) -> None:
        there.script = lambda _: error(503)
        manager = there.adapter()
        told = [await failing(manager.put_standard_key("name", b"x")) for _ in range(3)]

        assert {Reason.FAILING} == {each.reason for each in told}
        await manager.close()


async def test_a_root_key_is_described(there: Stage) -> None:
    """Dates come in two forms."""
    there.script = _in_turn(keys(key()), keys(key(creationDate="2026-01-02T03:04:05+0000", state=2)))
    manager = there.adapter()

    told = [await manager.describe_root_key(ROOT_KEY) for _ in range(2)]

    assert [(1, 1767323045), (2, 1767323045)] == [(each.state, each.created_at) for each in told]
    await manager.close()


async def test_a_call_that_is_given_up_frees_its_trial(there: Stage) -> None:
    """Whoever cancels a call leaves nothing behind that keeps others waiting."""
    there.script = lambda _: SILENCES["hangs"]
    manager = there.adapter(answer_seconds=0.3)
    task = asyncio.create_task(unwrap(manager))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    there.script = lambda _: answer(200, UNWRAPPED)
    await asyncio.sleep(0.3)

    assert b"ABC" == await unwrap(manager)
    assert 0 == manager.condition().failures
    await manager.close()


async def test_a_secret_that_is_wrapped_is_in_no_error(there: Stage) -> None:
    """Whatever goes wrong on the way."""
    there.script = lambda _: error(400, "INVALID_FIELD_ERR")
    manager = there.adapter()

    refusal = await failing(manager.wrap(ROOT_KEY, Secret(bytearray(b"key material")), ()))

    assert "a2V5IG1hdGVyaWFs" not in repr(refusal) + repr(refusal.__cause__)
    assert {"plaintext": "a2V5IG1hdGVyaWFs"} == there.asked[0].json
    await manager.close()


def _in_turn(*answers: bytes) -> Script:
    """One after the other, and then the last one again and again."""
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def _drip(head: bytes) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        connection.sendall(head)
        until = time.monotonic() + 2
        while time.monotonic() < until:
            time.sleep(0.02)
            connection.sendall(b"a")

    return talk


def _half(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf")
    assert isinstance(connection, ssl.SSLSocket)
    connection.unwrap()


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


SILENCES: dict[str, Callable[[socket.socket], None]] = {
    "hangs": lambda _: time.sleep(1.2),
    "drips": _drip(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n"),
    "drips its head": _drip(b"HTTP/1.1 200 OK\r\nx: "),
    "closes in good order": _half,
    "is cut off": lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + answer(200, UNWRAPPED)[-40:]),
    "resets": _reset,
    "says nothing": lambda _: None,
}
