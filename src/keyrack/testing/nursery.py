"""Starts real servers quickly: one process imports Keyrack once, and forks a ``keyrack serve`` for each order.

For tests that start and kill a server hundreds of times. What runs in the child is the command itself, from its command
line on; only the import of its modules, two thirds of its start, was done before. Linux only (pidfd).
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from keyrack.testing.process import Deployment

END_WITHIN = 15.0
"""Seconds that a child may take to end after its signal."""


class Child:
    """A server that the nursery has forked."""

    def __init__(self, pid: int, deployment: Deployment) -> None:
        """Watch the process ``pid``, which serves ``deployment``."""
        self.pid = pid
        self._deployment = deployment
        self._handle = os.pidfd_open(pid)

    def address(self) -> tuple[str, int]:
        """Where it serves, once it is ready; raises :class:`~keyrack.testing.process.DidNotStart`."""
        return self._deployment.await_address(lambda: not _ended(self._handle, 0))

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Signal it and wait for its end; harmless when it has ended. Raises :class:`TimeoutError`.

        SIGKILL kills its workers too, if it has any: nobody is left to end in good order.
        """
        doomed = [self._handle, *self._workers()] if how is signal.SIGKILL else [self._handle]
        try:
            for handle in doomed:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, how)
            if not all(_ended(handle, END_WITHIN) for handle in doomed):
                raise TimeoutError(f"the server {self.pid} does not end")
        finally:
            for handle in doomed[1:]:
                os.close(handle)

    def _workers(self) -> list[int]:
        """Handles of the processes that it has forked."""
        try:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        except FileNotFoundError:
            return []
        handles = []
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                handles.append(os.pidfd_open(int(child)))
        return handles

    def close(self) -> None:
        """Kill it, and let go of its handle."""
        self.kill()
        os.close(self._handle)


@dataclass(slots=True)
class Nursery:
    """The process that forks. ``preparation``: a Python file to run in it first, and the ``run_name`` to run it under;
    so a test of the tests can break the server on purpose.
    """

    preparation: tuple[Path, str] | None = None
    _process: "subprocess.Popen[str] | None" = None

    def __enter__(self) -> Self:
        words = [] if self.preparation is None else [str(each) for each in self.preparation]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "keyrack.testing.cradle", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        # Its input's end tells it to go; its children are ended by whoever ordered them.
        self._process.communicate(timeout=END_WITHIN)

    def serve(self, deployment: Deployment) -> Child:
        """Fork a ``keyrack serve`` for a deployment; it is not ready yet when this returns."""
        deployment.forget_address()
        return self.run(deployment, "serve")

    def run(self, deployment: Deployment, *words: str) -> Child:
        """Fork any command of the CLI for a deployment; what it says goes into the deployment's log."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {
            "words": [*words, "--config", str(deployment.configuration)],
            "log": str(deployment.log),
            "environment": deployment.served_environment(),
        }
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Child(int(self._process.stdout.readline()), deployment)


def _ended(handle: int, within: float) -> bool:
    return bool(select.select([handle], [], [], within)[0])
