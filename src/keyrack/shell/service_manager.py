"""Talks to the service manager that has started this process, where one has."""

import contextlib
import os
import socket


def notify(state: str) -> None:
    """Tell the service manager, where one listens (sd_notify(3))."""
    where = os.environ.get("NOTIFY_SOCKET")
    if not where:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect("\0" + where[1:] if where.startswith("@") else where)
        sock.sendall(state.encode())
