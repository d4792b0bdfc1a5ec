"""The syslog sink against rsyslogd, as Debian has it: over TLS, every message whole and in its fields."""

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from keyrack.adapters.sinks.syslog import Receiver, Syslog
from keyrack.domain import cadf
from keyrack.domain.cadf import Place
from keyrack.domain.journal import Entry
from keyrack.ports.sinks import Outgoing, SinkUnavailable
from keyrack.testing.receivers import Pem, pem

RSYSLOGD = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"
WITHIN = 15.0
MESSAGES = 300

pytestmark = pytest.mark.skipif(
    not Path(RSYSLOGD).is_file() or not list(Path("/usr/lib").rglob("rsyslog/lmnsd_gtls.so")),
    reason="needs rsyslog and rsyslog-gnutls",
)


def configuration(directory: Path, keys: Pem, port: int) -> Path:
    """Takes messages over TLS and writes their fields."""
    fields = "%pri%|%timereported:::date-rfc3339%|%app-name%|%msgid%|%structured-data%|%msg%\\n"
    path = directory / "rsyslog.conf"
    path.write_text(
        f"""
global(workDirectory="{directory}" maxMessageSize="64k" DefaultNetstreamDriver="gtls"
    DefaultNetstreamDriverCAFile="{keys.ca_file}" DefaultNetstreamDriverCertFile="{directory / "receiver.pem"}"
    DefaultNetstreamDriverKeyFile="{directory / "receiver.key"}")
module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
input(type="imtcp" port="{port}")
template(name="fields" type="string" string="{fields}")
action(type="omfile" file="{directory / "out.log"}" template="fields")
"""
    )
    return path


def an_event(sequence: int) -> Outgoing:
    """A Get of a key with an awkward name."""
    entry = Entry(
        at=1_767_323_045_678, action="Get", outcome="success", initiator="x", address="", target=f'k"]\n{sequence}'
    )
    return Outgoing(cadf.event(entry, Place("kmip-0", sequence, bytes(32))), "kmip-0", sequence, entry.at)


async def test_rsyslogd_gets_every_message_whole(tmp_path: Path) -> None:
    """One line each, whatever is in it, with priority, time, name and structured data where they belong."""
    keys = pem(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [RSYSLOGD, "-n", "-f", str(configuration(tmp_path, keys, port)), "-i", str(tmp_path / "pid")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    trusting = ssl.create_default_context(cafile=str(keys.ca_file))
    sink = Syslog(Receiver(host="127.0.0.1", port=port, tls=trusting, host_name="keyrack-1"))
    out, until = tmp_path / "out.log", time.monotonic() + WITHIN
    try:
        while True:
            try:
                await sink.take([an_event(sequence) for sequence in range(1, MESSAGES + 1)])
                break
            except SinkUnavailable:
                assert time.monotonic() < until
                await asyncio.sleep(0.1)
        while not out.is_file() or len(out.read_text().splitlines()) < MESSAGES:
            assert time.monotonic() < until
            await asyncio.sleep(0.05)
    finally:
        await sink.close()
        process.terminate()
        process.wait(10)
    lines = [line.split("|", 5) for line in out.read_text().splitlines()]

    assert {tuple(line[:4]) for line in lines} == {("110", "2026-01-02T03:04:05.678Z", "keyrack", "kmip-key.read")}
    assert [json.loads(line[5])["journal"]["sequence"] for line in lines] == list(range(1, MESSAGES + 1))
    assert lines[0][4].startswith('[keyrack@32473 chain="kmip-0" sequence="1" outcome="success"')
