"""Canaries: keys that a test knows, and the search for their traces in files and in the memory of a process."""

import base64
import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

PIECE = 16
"""Bytes of a key that are looked for: half a key on paper is as bad as the whole."""
_WINDOW = 1 << 24


def written_forms(secret: bytes) -> Mapping[str, bytes]:
    """How a secret may stand in a text: each form's name, and the bytes to look for."""
    piece = secret[:PIECE]
    forms = {
        "raw": piece,
        "hex": piece.hex().encode(),
        "HEX": piece.hex().upper().encode(),
        "spaced hex": piece.hex(" ").encode(),
        "escaped": "".join(f"\\x{octet:02x}" for octet in piece).encode(),
        "repr": repr(piece)[2:-1].encode(),
        "json": b", ".join(str(octet).encode() for octet in piece),
    }
    for shift in range(3):
        # Inside a longer base64 text the secret may begin at any of three places; its first and last letters are mixed.
        whole = base64.b64encode(bytes(shift) + secret)
        inner = whole[4 if shift else 0 : len(whole) - 4]
        forms[f"base64+{shift}"] = inner[:20]
        forms[f"base64url+{shift}"] = inner[:20].replace(b"+", b"-").replace(b"/", b"_")
    return forms


def in_files(secrets: Iterable[bytes], directory: Path) -> list[str]:
    """Where the secrets stand in the files below a directory, in any form: a sentence for each find."""
    forms = {form: name for secret in secrets for name, form in written_forms(secret).items()}
    finds = []
    for path in sorted(each for each in directory.rglob("*") if each.is_file()):
        content = path.read_bytes()
        finds += [f"{path.relative_to(directory)}: {name}" for form, name in forms.items() if form in content]
    return finds


def in_text(secrets: Iterable[bytes], text: str) -> list[str]:
    """In which forms the secrets stand in a text."""
    content = text.encode("utf-8", "surrogateescape")
    return [name for secret in secrets for name, form in written_forms(secret).items() if form in content]


def in_memory(secrets: Iterable[bytes], pid: int) -> dict[bytes, int]:
    """How often each secret's beginning, and its end, stand raw in the writable memory of another process."""
    counts = dict.fromkeys(secrets, 0)
    with _stopped(pid):
        for window in _memory(pid):
            for secret in counts:
                counts[secret] += window.count(secret[:PIECE]) + window.count(secret[-PIECE:])
    return counts


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    """Let another process stand still: memory that it gives back meanwhile would end the search around it."""
    if pid == os.getpid():
        yield
        return
    os.kill(pid, signal.SIGSTOP)
    try:
        stat = Path(f"/proc/{pid}/stat")
        while stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in "TtZX":
            time.sleep(0.001)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _memory(pid: int) -> Iterator[bytes]:
    """The writable memory in windows that overlap by one piece."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, rights, *_ = line.split()
            if not rights.startswith("rw"):
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            while start < end:
                memory.seek(start)
                try:
                    window = memory.read(min(_WINDOW, end - start))
                except OSError:
                    break
                yield window
                start += len(window) if start + len(window) >= end else len(window) - PIECE
