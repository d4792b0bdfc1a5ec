"""The wizard served: from its certificate to the moment when ``keyrack serve`` takes its place, or nothing is there."""

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from keyrack.shell.console.first_start.desk import EVERYWHERE, Asked, Desk, certified, desk_of, names_of_machine
from keyrack.shell.console.first_start.face import SetupFace
from keyrack.shell.deployment import papers
from keyrack.shell.planning import label_of_machine
from keyrack.shell.private_memory import keep_memory_private
from keyrack.shell.rest.serving import Listening, serving


@dataclass(frozen=True, slots=True)
class Ready:
    """A wizard that waits for a browser."""

    address: str
    link: str
    """Told this one time."""
    fingerprint: str
    """SHA-256 of the certificate that the browser meets."""


class Ended(Exception):
    """Somebody has ended it before anything was made, or nobody did anything for an hour."""


def run(asked: Asked, ready: Callable[[Ready], None]) -> Path:
    """Serve the wizard until a deployment is made; its configuration. Raises :class:`Ended`, and ``OSError``."""
    keep_memory_private()
    return asyncio.run(_run(asked, ready))


async def _run(asked: Asked, ready: Callable[[Ready], None]) -> Path:
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with wizard(asked) as (desk, told):
        ready(told)
        over = {asyncio.create_task(each) for each in (desk.handover.wait(), ended.wait(), _idle(desk))}
        try:
            await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in over:
                task.cancel()
            await asyncio.gather(*over, return_exceptions=True)
        if not desk.handover.is_set():
            if desk.making is not None:
                await desk.making.stop()
            if desk.making is not None and desk.making.made is not None:
                raise Ended(f"stopped; the deployment is made: 'keyrack serve --config {desk.making.config}' runs it")
            raise Ended("stopped; nothing was made" if ended.is_set() else "nobody came for an hour; nothing was made")
        assert desk.making is not None, "the way over is shown when it is made"
        return desk.making.config


@asynccontextmanager
async def wizard(asked: Asked) -> AsyncIterator[tuple[Desk, Ready]]:
    """A wizard that takes connections as long as the block lasts; afterwards it has forgotten every secret."""
    names = names_of_machine(asked)
    shown = await asyncio.to_thread(papers, label_of_machine(), certified(names), now=datetime.now(UTC))
    desk = desk_of(asked, names, shown)
    try:
        with tempfile.TemporaryDirectory(prefix="keyrack-setup-") as place:
            certificate, key = Path(place) / "server.pem", Path(place) / "server.key"
            shown.server.write(certificate, key, issuer=shown.authority.certificate)
            listening = Listening(
                host=asked.host, port=asked.port, certificate=certificate, key=key, bounds=desk.bounds
            )
            async with serving(SetupFace(desk), listening, grace=1.0) as opened:
                # The key is in memory; where a kill leaves a directory, no key is in it.
                key.unlink()
                host = names[0] if asked.host in EVERYWHERE else asked.host
                host = f"[{host}]" if ":" in host else host
                link = f"https://{host}:{opened.port}/setup#{desk.guard.token}"
                yield desk, Ready(opened.address, link, shown.server.fingerprint)
    finally:
        desk.draft.wipe()


async def _idle(desk: Desk) -> None:
    """Return when the wizard is over because nobody did anything."""
    while not desk.guard.is_over or (desk.making is not None and desk.making.made is None and not desk.making.trouble):
        await asyncio.sleep(min(max(desk.guard.left, 0.5), 30.0))
