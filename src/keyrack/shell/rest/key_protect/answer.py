"""An answer on its way out: JSON with key material in it, encoded into one buffer that is wiped when it was sent.

What lies below (h11, TLS) makes copies of its own that nothing can clear; this room adds none.
"""

import asyncio
import binascii
import json
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from keyrack.domain.secret import Secret, overwrite, wipe
from keyrack.shell.rest.key_protect.envelope import JSON

PIECE: Final = 65_536
"""Bytes of an answer that are sent at one time."""


class Answer(Response):
    """JSON, in which a :class:`Secret` stands for its base64. The secrets are wiped once they are encoded."""

    def __init__(
        self, content: Any = None, status: int = 200, media: str = JSON, headers: Mapping[str, str] | None = None
    ) -> None:
        """``content=None`` is an answer without a body; a ``bytearray`` is JSON already, and becomes the answer's."""
        if isinstance(content, bytearray):
            self._buffer = content
        else:
            self._buffer = bytearray() if content is None else encoded(content)
        super().__init__(None, status, headers)
        self.body = memoryview(self._buffer)
        if content is not None:
            self.headers["content-type"] = media
        if content is not None or status not in (204, 304):
            self.headers["content-length"] = str(len(self._buffer))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, once, in pieces: below, nothing notices that a client takes none before the next one is sent."""
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for start in range(0, len(self.body) or 1, PIECE):
                rest = len(self.body) - start - PIECE
                await send(
                    {"type": "http.response.body", "body": self.body[start : start + PIECE], "more_body": rest > 0}
                )
                if rest > 0:
                    await asyncio.sleep(0)
        finally:
            wipe(self._buffer)


def encoded(content: Any) -> bytearray:
    """The JSON of ``content``, whose secrets become base64 and are wiped."""
    mark = ""
    found: list[Secret] = []

    def stand_in(value: Any) -> str:
        nonlocal mark
        if not isinstance(value, Secret):
            raise TypeError(f"{type(value).__name__} has no JSON")
        mark = mark or secrets.token_hex(16)
        found.append(value)
        return f"{mark}{len(found) - 1}."

    text = json.dumps(content, default=stand_in, separators=(",", ":"), ensure_ascii=False).encode()
    if not found:
        return bytearray(text)
    return _spliced(text, mark.encode(), found)


def encoded_one_by_one(content: Mapping[str, Any], resources: Iterable[Any]) -> bytearray:
    """The JSON of a collection with these resources, in which there are no secrets.

    In one piece ``json`` would keep every other thread waiting until the last of thousands is written.
    """
    text = bytearray(encoded(content))
    begin = b',"resources":['
    del text[-1:]
    for resource in resources:
        text += begin
        text += encoded(resource)
        begin = b","
    text += b"}" if begin != b"," else b"]}"
    return text


def _spliced(text: bytes, mark: bytes, found: list[Secret]) -> bytearray:
    pieces = text.split(mark)
    length = len(text) + sum(4 * (len(secret) + 2) // 3 + 4 for secret in found)
    # Of its final size at once: a buffer that grows leaves copies of what it held behind.
    buffer = bytearray(length)
    end = _put(buffer, 0, pieces[0])
    for piece in pieces[1:]:
        number, _, rest = piece.partition(b".")
        with found[int(number)] as secret:
            digits = binascii.b2a_base64(secret.reveal(), newline=False)
        end = _put(buffer, end, digits)
        overwrite(digits)
        end = _put(buffer, end, rest)
    del buffer[end:]
    return buffer


def _put(buffer: bytearray, at: int, octets: bytes) -> int:
    buffer[at : at + len(octets)] = octets
    return at + len(octets)
