"""Keeps a web process going beside a serving one: starts it by exec, again when it ends, and ends it with itself."""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from keyrack.shell.config.whole import WEB_ADDRESS_FILE, Config

log = logging.getLogger(__name__)

SHORTEST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 60.0
"""Seconds before it is started again; doubled each time that it does not live longer than that."""
GRACE: Final = 8.0
"""Seconds that it has to end by itself."""
_KEPT: Final = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "PGPASSFILE",
    "PYTHONPATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
"""What it gets of the environment, beside the overrides of the configuration."""


class WebKeeper:
    """One web process at a time."""

    def __init__(self, config: Config, file: Path) -> None:
        """``file`` is the configuration, which the process reads for itself."""
        self._command = (sys.executable, "-P", "-m", "keyrack.shell.web", str(file.absolute()))
        self._environment = environment(config, os.environ)
        self._told = config.run_directory / WEB_ADDRESS_FILE
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process is not None else None

    def reload(self) -> None:
        """Have it read its certificate again."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGHUP)

    async def keep(self) -> None:
        """Start it, and again, for ever; ending this ends the process."""
        pause = SHORTEST_PAUSE
        while True:
            began = time.monotonic()
            try:
                code = await self._run()
                log.error("the web process ended with %s", code)
            except OSError as error:
                log.error("the web process cannot be started: %s", error)
            pause = SHORTEST_PAUSE if time.monotonic() - began > LONGEST_PAUSE else min(2 * pause, LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _run(self) -> int:
        # Its standard input is the lifeline: it ends when this process does, whatever ends this one.
        process = await asyncio.create_subprocess_exec(
            *self._command,
            env=dict(self._environment),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            cwd="/",
        )
        self._process = process
        try:
            return await process.wait()
        finally:
            self._process = None
            # One that was killed has left its address behind.
            self._told.unlink(missing_ok=True)
            if process.returncode is None:
                await _ended(process)


@asynccontextmanager
async def web_process(config: Config, file: Path) -> AsyncIterator[WebKeeper]:
    """Keep one going as long as the block lasts. Nothing that happens to it is raised here."""
    keeper = WebKeeper(config, file)
    task = asyncio.create_task(keeper.keep())
    try:
        yield keeper
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def environment(config: Config, environ: Mapping[str, str]) -> Mapping[str, str]:
    """What the process gets: what it needs to run and the configuration's overrides, and no passphrase."""
    secret = {table.unlock.passphrase_environment for table in config.embedded.values()}
    return {
        name: value
        for name, value in environ.items()
        if name not in secret and (name in _KEPT or (name.startswith("KEYRACK_") and "__" in name))
    }


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(GRACE):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
