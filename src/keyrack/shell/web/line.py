"""The line between the web process and a serving one: where its sockets are, who may speak, and what is said.

One request, one answer, one connection; each a line of JSON, bounded in length.
"""

import os
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from keyrack.ports.back_office import BackOfficeUnavailable
from keyrack.ports.catalog import CatalogUnavailable
from keyrack.ports.key_manager import KeyManagerFailed, KeyManagerRefused, KeyManagerUnavailable, Reason
from keyrack.service.office import refusals
from keyrack.service.office.refusals import Refused

SOCKETS: Final = "back-office-*.sock"
LONGEST_REQUEST: Final = 65_536
"""Bytes of a request's line."""
LONGEST_ANSWER: Final = 8 * 2**20
"""Bytes of an answer's line: some 30,000 root keys."""
_PEER: Final = struct.Struct("3i")  # struct ucred of Linux: process, user, group


def socket_of(directory: Path, worker: int) -> Path:
    """The socket of a serving process, in the run directory."""
    return directory / f"back-office-{worker}.sock"


def user_of(sock: socket.socket) -> int:
    """The user of the process at the other end, by the kernel's word."""
    _, user, _ = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return int(user)


@contextmanager
def short(place: Path) -> Iterator[str]:
    """A name for a socket that fits into its 107 bytes, however deep its directory lies."""
    directory = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{place.name}"
    finally:
        os.close(directory)


class Relayed(Refused):
    """What a serving process has refused, with its own code."""

    def __init__(self, told: str, *, code: str, field: str, hint: str, more: Mapping[str, Any]) -> None:
        super().__init__(told, field=field, hint=hint)
        self.code = code  # type: ignore[misc]  # of this one refusal, as it was told
        self._more = dict(more)

    @property
    def more(self) -> Mapping[str, Any]:
        """As it was told."""
        return self._more


def told_of(error: Exception) -> dict[str, Any]:
    """What goes wrong, as it goes over the line; of what nobody foresaw, only that."""
    if isinstance(error, Refused):
        return {
            "refused": error.code,
            "told": error.told,
            "field": error.field,
            "hint": error.hint,
            "more": dict(error.more),
        }
    if isinstance(error, KeyManagerFailed):
        said = isinstance(error, KeyManagerRefused)
        return {"key_manager": "refused" if said else "unavailable", "told": str(error), "reason": str(error.reason)}
    if isinstance(error, CatalogUnavailable):
        return {"catalog": str(error)}
    return {"failed": "it took too long" if isinstance(error, TimeoutError) else "it failed; see the log of the server"}


def raise_told(told: Mapping[str, Any]) -> None:
    """Raise what the answer tells; return where it tells a success."""
    if "answer" in told:
        return
    if "refused" in told:
        kind = _KINDS.get(str(told["refused"]))
        if kind is not None:
            raise kind(told["told"], field=told["field"], hint=told["hint"])
        raise Relayed(told["told"], code=told["refused"], field=told["field"], hint=told["hint"], more=told["more"])
    if "key_manager" in told:
        failure = KeyManagerRefused if told["key_manager"] == "refused" else KeyManagerUnavailable
        raise failure(told["told"], Reason(told["reason"]))
    if "catalog" in told:
        raise CatalogUnavailable(told["catalog"])
    raise BackOfficeUnavailable(f"a serving process could not do it: {told.get('failed', 'it said nonsense')}")


_KINDS: Final[Mapping[str, type[Refused]]] = {
    kind.code: kind
    for kind in (
        refusals.Refused,
        refusals.NotThere,
        refusals.Forbidden,
        refusals.Unauthenticated,
        refusals.Unusable,
        refusals.NameTaken,
        refusals.LimitReached,
        refusals.ChangedMeanwhile,
    )
}
"""Those that have nothing but their words; the others come as :class:`Relayed`."""
