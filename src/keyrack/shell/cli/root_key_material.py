"""Material that an administrator brings: from a file or a pipe, straight into memory that is wiped."""

import binascii
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from keyrack.domain.secret import Secret, overwrite, wipe
from keyrack.shell.cli import screen
from keyrack.shell.cli.failures import WrongUse

LENGTHS = (16, 24, 32)
"""Bytes of material: AES-128, AES-192, AES-256."""
_MOST = 128
"""Bytes that are read at most; 32 in base64, with line ends, are 46."""


@contextmanager
def material_of(source: str | None) -> Iterator[Secret | None]:
    """What a file holds, or standard input for ``-``: 16, 24 or 32 bytes, or these in base64. Wiped at the end.

    Base64 is tried first: 24 or 32 random bytes that look like it do not happen by chance.
    """
    if source is None:
        yield None
        return
    content = _content(source)
    try:
        secret = _decoded(content) or _raw(content)
    finally:
        wipe(content)
    if secret is None:
        raise WrongUse(
            f"{_named(source)} does not hold the material of a root key; give 16, 24 or 32 bytes, or these in base64"
        )
    with secret:
        yield secret


def _content(source: str) -> bytearray:
    if source != "-":
        descriptor = os.open(Path(source).expanduser(), os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_mode & 0o077:
                screen.warn(f"others can read {source}; they may have what this root key is made of")
            return _read(descriptor)
        finally:
            os.close(descriptor)
    if sys.stdin.isatty():
        raise WrongUse("what is typed here could be read on the screen; give the material in a file, or through a pipe")
    return _read(sys.stdin.fileno())


def _read(descriptor: int) -> bytearray:
    """All of it, in place; more than material can have is cut off, and then it is none."""
    buffer, length = bytearray(_MOST), 0
    with memoryview(buffer) as view:
        while length < _MOST and (read := os.readv(descriptor, [view[length:]])):
            length += read
    if length == _MOST:
        wipe(buffer)
    kept = bytearray(memoryview(buffer)[:length])
    wipe(buffer)
    return kept


def _decoded(content: bytearray) -> Secret | None:
    end = len(content)
    while end and content[end - 1] in b"\r\n \t":
        end -= 1
    with suppress(binascii.Error), memoryview(content) as view:
        octets = binascii.a2b_base64(view[:end], strict_mode=True)
        secret = Secret(bytearray(octets))
        overwrite(octets)
        if len(secret) in LENGTHS:
            return secret
        secret.wipe()
    return None


def _raw(content: bytearray) -> Secret | None:
    return Secret(bytearray(content)) if len(content) in LENGTHS else None


def _named(source: str) -> str:
    return "standard input" if source == "-" else source
