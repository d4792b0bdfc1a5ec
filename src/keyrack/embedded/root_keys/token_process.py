"""The process that holds the HSM: ``python -m keyrack.embedded.root_keys.token_process SOCKET LIFELINE``.

A PKCS#11 library is a maker's code: it may crash, hang, or bear one thread only, so it has a process of its own, and
that has one thread. It answers one question after the other on the socket that it was given, and ends with the server.
"""

import ctypes
import fcntl
import os
import resource
import signal
import socket
import sys
import traceback
from contextlib import suppress

from keyrack.embedded.root_keys.token_frames import Answer, BrokenFrame, Channel

_PR_SET_DUMPABLE = 4
_F_SETSIG = 10
_TOLD_TO_ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""A terminal tells them to the whole group and a service manager to all processes: the server ends this one."""


def main() -> int:
    """Serve the socket, until it closes. Both arguments are descriptors; the lifeline is the end of a pipe to read."""
    end = socket.socket(fileno=int(sys.argv[1]))
    _close_the_blinds()
    _hold(int(sys.argv[2]))
    code = 0
    try:
        _serve(Channel(end))
    except (ConnectionError, BrokenFrame):
        pass
    except BaseException:
        traceback.print_exc()
        code = 1
    # Some libraries crash when they are taken down; there is nothing to take down that the end would not.
    os._exit(code)


def _serve(channel: Channel) -> None:
    with channel.receive() as order:
        try:
            from keyrack.embedded.root_keys.token_answers import Desk  # noqa: PLC0415 - an extra that may be missing
        except ImportError as error:
            text = f"the package python-pkcs11 does not load ({error}): pip install 'keyrack[hsm]'"
            channel.send(order.number, Answer.UNUSABLE, [text.encode()])
            return
        desk = Desk(channel)
        desk.begin(order)
    while desk.answer():
        pass


def _close_the_blinds() -> None:
    """No core file, no debugger of the same user, no signal that was meant for the server, none blocked by it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    for number in _TOLD_TO_ALL:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.umask(0o077)


def _hold(lifeline: int) -> None:
    """Let the kernel kill this process once the server is gone: a library that hangs may never let Python look."""
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, _F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)


if __name__ == "__main__":
    sys.exit(main())
