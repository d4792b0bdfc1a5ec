"""The nursery's own process: it imports Keyrack, then orders come in as lines of JSON and process identifiers go out.

``python -m keyrack.testing.cradle [FILE RUN_NAME]``: FILE is run first, as a module of that name.
"""

import ctypes
import json
import os
import runpy
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import keyrack.shell.serving
import keyrack.shell.telemetry
from keyrack.shell.cli import run
from keyrack.shell.cli.app import command

IMPORTED = (keyrack.shell.serving, keyrack.shell.telemetry, command)
"""What ``serve`` would import when it runs."""


_PR_SET_PDEATHSIG = 1


def main(words: Sequence[str]) -> None:
    """Serve orders until there are no more."""
    command()
    if words:
        runpy.run_path(words[0], run_name=words[1])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in iter(sys.stdin.readline, ""):
        child = os.fork()
        if not child:
            become(json.loads(line))
        print(child, flush=True)  # noqa: T201 - the answer to the order


def become(order: Mapping[str, Any]) -> None:
    """In the child: be the command that was ordered, and never return."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Whoever ordered it may have died: then nobody is left to end it but the nursery's own end.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    os.environ.clear()
    os.environ.update(order["environment"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for target, source in ((0, nothing), (1, log), (2, log)):
        os.dup2(source, target)
    os._exit(run(order["words"]))


if __name__ == "__main__":
    main(sys.argv[1:])
