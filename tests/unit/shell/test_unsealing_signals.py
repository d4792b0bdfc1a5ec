"""A signal that comes as the last keystore opens: it ends the server, as it would a moment before and after."""

import subprocess
import sys
from pathlib import Path

import pytest

OPENED_AND_TOLD_TO_END = """
import asyncio, os, signal, sys, time
from pathlib import Path
from keyrack.shell.sealed.unsealing import StillSealed, Unsealing

class Opening(Unsealing):
    async def _accept(self, listener):
        def opened():
            if sys.argv[2] == "before":
                os.kill(os.getpid(), signal.SIGTERM)
            self._all_open.set()
            if sys.argv[2] == "after":
                os.kill(os.getpid(), signal.SIGTERM)
        asyncio.get_running_loop().call_soon(opened)
        await super()._accept(listener)

try:
    Opening(Path(sys.argv[1]), {}).wait()
except StillSealed:
    sys.exit(7)
sys.exit(9)
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_signal_at_the_last_moment_is_heard(tmp_path: Path, moment: str) -> None:
    """The server that has just been opened does not go on to serve as if nothing had been said."""
    command = [sys.executable, "-c", OPENED_AND_TOLD_TO_END, str(tmp_path / "socket"), moment]
    assert subprocess.run(command, timeout=30, check=False).returncode == 7
