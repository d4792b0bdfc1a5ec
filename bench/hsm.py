"""Root keys in an HSM, SoftHSM2: through the port, beside python-pkcs11 used directly."""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO

from bench.in_process import SIZE, Wrapping, named, new_manager
from bench.measured import Case, Spent, Thing, children, together

from keyrack.embedded.root_keys.pkcs11 import Pkcs11Keeper
from keyrack.testing.softhsm import SoftHsm

MECHANISMS = {"gcm": "AES-GCM", "kwp": "AES key wrap"}
CALLERS = (1, 16)


class Peer:
    """The process of ``pkcs11_peer.py``, on a token of its own: neither waits for the other's files."""

    def __init__(self, hsm: SoftHsm, mechanism: str) -> None:
        words = [str(hsm.library), hsm.token, hsm.pin(), mechanism, str(SIZE)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.pkcs11_peer", *words],
            env={**os.environ, **hsm.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._heard()

    def run(self, word: str, seconds: float) -> Spent:
        """Have it wrap or unwrap for a while."""
        _end(self.process.stdin).write(f"{word} {seconds}\n")
        _end(self.process.stdin).flush()
        told = json.loads(self._heard())
        return Spent(told["operations"], told["elapsed"], told["cpu"], (told["p99"],))

    def stop(self) -> None:
        """End it."""
        _end(self.process.stdin).close()
        self.process.wait(15)
        _end(self.process.stdout).close()

    def _heard(self) -> str:
        line = _end(self.process.stdout).readline()
        if not line:
            raise SystemExit("bench: python-pkcs11 does not work with the token; what it says stands above")
        return line


def cases(work: Path, runner: asyncio.Runner, stack: ExitStack) -> list[Case]:
    """One for each mechanism."""
    return [_case(mechanism, work / f"hsm-{mechanism}", runner, stack) for mechanism in MECHANISMS]


def _case(mechanism: str, work: Path, runner: asyncio.Runner, stack: ExitStack) -> Case:
    hsm = SoftHsm.create(work / "token", "keyrack")
    keeper = Pkcs11Keeper(hsm.settings(mechanism=mechanism, timeout=30.0))
    manager = new_manager(work / "manager", keeper)
    stack.callback(lambda: runner.run(manager.close()))
    before = children()
    wrapping = Wrapping(manager, runner)
    (holder,) = children() - before
    peer = Peer(SoftHsm.create(work / "peer", "peer"), mechanism)
    stack.callback(peer.stop)
    things, against = [], {}
    for word, act in wrapping.acts.items():
        direct = f"{word}, python-pkcs11 alone"
        things.append(Thing(direct, partial(peer.run, word), lambda: (peer.process.pid,)))
        for callers in CALLERS:
            name = named(word, callers)
            run = partial(together, runner, act, callers=callers, others=lambda: (holder,))
            things.append(Thing(name, run, lambda: (holder,)))
            against[name] = (direct,)
    return Case(f"root key in SoftHSM2, {MECHANISMS[mechanism]}", things, against)


def _end(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
