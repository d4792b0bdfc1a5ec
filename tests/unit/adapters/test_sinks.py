"""Sinks against real receivers: a file that is rotated and fills up, syslog over TLS, a webhook that misbehaves."""

import asyncio
import hmac
import json
import os
import re
import ssl
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from keyrack.adapters.sinks.json_lines import JsonLines
from keyrack.adapters.sinks.syslog import Receiver, Syslog, message
from keyrack.adapters.sinks.webhook import SIGNATURE, Endpoint, Webhook
from keyrack.domain import cadf
from keyrack.domain.cadf import Place
from keyrack.domain.journal import Entry
from keyrack.domain.secret import Secret
from keyrack.ports.sinks import Outgoing, SinkUnavailable
from keyrack.testing.receivers import pem, syslog_receiver, webhook_receiver

WITHIN = 5.0


def an_event(sequence: int, *, target: str = "k-1", outcome: str = "success") -> Outgoing:
    """A Get."""
    entry = Entry(
        at=1_767_323_045_678, action="Get", outcome=outcome, initiator="x", address="192.0.2.1:1", target=target
    )
    return Outgoing(cadf.event(entry, Place("kmip-0", sequence, bytes(32), sequence)), "kmip-0", sequence, entry.at)


def some(first: int, last: int) -> list[Outgoing]:
    """Events with these sequences."""
    return [an_event(sequence) for sequence in range(first, last + 1)]


async def until(true: Callable[[], bool]) -> bool:
    """Whether it becomes true in time."""
    async with asyncio.timeout(WITHIN):
        while not true():
            await asyncio.sleep(0.005)
    return True


# --- a file ---


async def test_a_file_has_a_line_for_each_event_and_is_private(tmp_path: Path) -> None:
    """And it is opened again when it was rotated away, or removed."""
    path = tmp_path / "audit.jsonl"
    sink = JsonLines(path)
    await sink.take(some(1, 2))
    mode = path.stat().st_mode & 0o777
    path.rename(tmp_path / "audit.jsonl.1")
    await sink.take(some(3, 3))
    path.unlink()
    await sink.take(some(4, 4))
    await sink.close()

    rotated = [json.loads(line)["journal"]["sequence"] for line in (tmp_path / "audit.jsonl.1").open()]
    assert (rotated, mode) == ([1, 2], 0o600)
    assert [json.loads(line)["journal"]["sequence"] for line in path.open()] == [4]


async def test_a_line_that_a_crash_has_cut_short_is_closed(tmp_path: Path) -> None:
    """The next event begins a line of its own."""
    path = tmp_path / "audit.jsonl"
    path.write_text('{"eventTime":"20')
    sink = JsonLines(path)
    await sink.take(some(1, 1))
    await sink.close()

    assert json.loads(path.read_text().splitlines()[1])["journal"]["sequence"] == 1


async def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A directory that is gone, a full disk; and nothing half-written stays."""
    with pytest.raises(SinkUnavailable, match="no such file"):
        await JsonLines(tmp_path / "gone" / "audit.jsonl").take(some(1, 1))
    with pytest.raises(SinkUnavailable, match="no space left"):
        await JsonLines(Path("/dev/full"), sync=False).take(some(1, 1))


async def test_a_disk_that_hangs_holds_up_nobody_else(tmp_path: Path) -> None:
    """A pipe that nobody reads takes no more: who waits gives up, and the next is refused at once."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    sink = JsonLines(path, sync=False)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await sink.take(some(1, 2000))
    with pytest.raises(SinkUnavailable, match="has not come back"):
        await sink.take(some(1, 1))
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    async def drained() -> None:
        while True:
            try:
                os.read(reader, 1 << 20)
            except BlockingIOError:
                await asyncio.sleep(0.01)

    draining = asyncio.create_task(drained())
    await asyncio.sleep(0.1)
    await sink.take(some(1, 1))
    draining.cancel()
    os.close(reader)
    await sink.close()


# --- syslog ---


def _trusting(ca_file: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca_file))


def _receiver(port: int, tls: ssl.SSLContext | None) -> Receiver:
    return Receiver(host="127.0.0.1", port=port, tls=tls, host_name="keyrack 1")


async def test_syslog_gets_messages_of_rfc_5424_over_tls(tmp_path: Path) -> None:
    """Counted, with priority, time, structured data and the event; in order."""
    keys = pem(tmp_path)
    with syslog_receiver(keys.context) as receiver:
        sink = Syslog(_receiver(receiver.port, _trusting(keys.ca_file)))
        await sink.take(some(1, 300))
        await sink.take([an_event(301, outcome="Permission Denied")])
        assert await until(lambda: len(receiver.messages) == 301)
        await sink.close()

    first, last = receiver.messages[0], receiver.messages[-1]
    head = r"<110>1 2026-01-02T03:04:05\.678Z keyrack-1 keyrack - kmip-key\.read \[keyrack@32473 (.*?)\] (\{.*\})"
    found = re.fullmatch(head, first)
    assert found is not None
    assert found[1] == 'chain="kmip-0" sequence="1" outcome="success" initiator="x" target="k-1"'
    assert json.loads(found[2])["journal"]["sequence"] == 1
    assert last.startswith("<106>1 ")
    assert [json.loads(each.partition("] ")[2])["journal"]["sequence"] for each in receiver.messages] == [
        *range(1, 302)
    ]
    assert receiver.connections == 1


def test_no_name_breaks_a_syslog_message() -> None:
    """What a client calls something ends neither a line nor the structured data."""
    told = message(an_event(1, target='a"]\n\x00 <13>1 forged\u2028\\'), "h").decode()

    assert "\n" not in told
    assert "\x00" not in told
    assert 'target="a\\"\\]\\\\u000a\\\\u0000 <13>1 forged\\\\u2028\\\\"]' in told


async def test_a_receiver_that_was_ended_gets_again_what_it_may_have_lost(tmp_path: Path) -> None:
    """The batch before is sent once more over the next connection: nothing is missing, places tell what came twice."""
    keys = pem(tmp_path)
    with syslog_receiver(keys.context) as receiver:
        sink = Syslog(_receiver(receiver.port, _trusting(keys.ca_file)))
        await sink.take(some(1, 3))
        assert await until(lambda: len(receiver.messages) == 3)
        port = receiver.port
    await asyncio.sleep(0.05)
    with pytest.raises(SinkUnavailable, match="is not reached"):
        await sink.take(some(4, 5))
    with syslog_receiver(keys.context, port) as again:
        await sink.take(some(4, 5))
        assert await until(lambda: len(again.messages) == 5)
        await sink.close()


async def test_a_receiver_that_reads_nothing_is_no_receiver(tmp_path: Path) -> None:
    """What its TCP does not confirm was not taken."""
    keys = pem(tmp_path)
    with syslog_receiver(keys.context) as receiver:
        receiver.reading = False
        sink = Syslog(_receiver(receiver.port, _trusting(keys.ca_file)))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await sink.take(some(1, 8_000))
        receiver.reading = True


async def test_a_receiver_of_another_authority_is_refused(tmp_path: Path) -> None:
    """Nothing is sent to whoever does not prove who it is; nor to one that speaks no TLS."""
    (tmp_path / "other").mkdir()
    keys, others = pem(tmp_path), pem(tmp_path / "other")
    with syslog_receiver(others.context) as receiver, syslog_receiver(None) as plain:
        with pytest.raises(SinkUnavailable, match="its certificate is not trusted"):
            await Syslog(_receiver(receiver.port, _trusting(keys.ca_file))).take(some(1, 1))
        sink = Syslog(_receiver(plain.port, None))
        await sink.take(some(1, 1))
        assert await until(lambda: len(plain.messages) == 1)
        await sink.close()
    assert receiver.messages == []


# --- webhook ---


def _endpoint(url: str, ca_file: Path, secret: bytes = b"shared") -> Endpoint:
    return Endpoint(url=url, tls=_trusting(ca_file), secret=Secret(bytearray(secret)), timeout=1.0)


async def test_a_webhook_gets_signed_batches(tmp_path: Path) -> None:
    """One connection, JSON, and a signature over time and body that the receiver can compute."""
    keys = pem(tmp_path)
    with webhook_receiver(keys.context) as hook:
        sink = Webhook(_endpoint(hook.url, keys.ca_file), lambda: 1_800_000_000.5)
        await sink.take(some(1, 2))
        await sink.take(some(3, 3))
        await sink.close()

    made = hmac.new(b"shared", b"1800000000." + hook.bodies[0], sha256).hexdigest()
    assert hook.headers[0][SIGNATURE] == f"t=1800000000,v1={made}"
    assert [event["journal"]["sequence"] for event in hook.events] == [1, 2, 3]
    assert [len(json.loads(body)["events"]) for body in hook.bodies] == [2, 1]


@pytest.mark.parametrize(("status", "after", "seconds"), [(503, "7", 7.0), (500, "", 0.0), (302, "", 0.0)])
async def test_whatever_is_no_success_has_taken_nothing(
    tmp_path: Path, status: int, after: str, seconds: float
) -> None:
    """And Retry-After is handed on; a redirection is followed nowhere."""
    keys = pem(tmp_path)
    with webhook_receiver(keys.context) as hook:
        hook.status, hook.retry_after = status, after
        sink = Webhook(_endpoint(hook.url, keys.ca_file))
        with pytest.raises(SinkUnavailable, match=f"answers {status}") as told:
            await sink.take(some(1, 1))
        hook.status = 204
        await sink.take(some(1, 1))
        await sink.close()
    assert told.value.retry_after == seconds
    assert len(hook.events) == 1


async def test_a_webhook_that_hangs_is_given_up_and_tried_again(tmp_path: Path) -> None:
    """No thread stays behind it."""
    keys = pem(tmp_path)
    with webhook_receiver(keys.context) as hook:
        hook.hang = True
        sink = Webhook(_endpoint(hook.url, keys.ca_file))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await sink.take(some(1, 1))
        hook.hang = False
        async with asyncio.timeout(WITHIN):
            while True:
                try:
                    await sink.take(some(1, 1))
                    break
                except SinkUnavailable:
                    await asyncio.sleep(0.01)
        await sink.close()
    assert hook.events


async def test_a_webhook_of_another_authority_is_refused(tmp_path: Path) -> None:
    """Before anything is sent."""
    (tmp_path / "other").mkdir()
    keys, others = pem(tmp_path), pem(tmp_path / "other")
    with webhook_receiver(others.context) as hook, pytest.raises(SinkUnavailable, match="is not trusted"):
        await Webhook(_endpoint(hook.url, keys.ca_file)).take(some(1, 1))
    assert hook.requests == 0
