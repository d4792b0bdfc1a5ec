"""Keys that went through an IBM key manager are not left in memory, neither raw nor as base64; nor is the API key."""

import base64
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.unit.adapters.ibm_script import INSTANCE, ROOT_KEY, Asked, Stage, Talk, answer, stage

from keyrack.testing.canaries import in_memory

CHILD = Path(__file__).with_name("ibm_residue_child.py")
COUNT = 200
HEAD, TAIL = os.urandom(18), os.urandom(18)
"""How every key begins and ends, so that one search finds a piece of any; 18 bytes are 24 whole digits of base64."""
API_KEY = base64.urlsafe_b64encode(os.urandom(33))
MIDDLES = (12, 12, 12, 1200)
"""Bytes between them: keys as they are, and now and then a long one, whose memory is not soon used again."""


def test_nothing_is_left_once_secrets_are_wiped(tmp_path: Path) -> None:
    """Of 200 keys, unwrapped, wrapped and unwrapped again on connections that stay open, whatever way answers come."""
    keys = [HEAD + os.urandom(MIDDLES[number % len(MIDDLES)]) + TAIL for number in range(COUNT)]
    with stage(tmp_path) as there:
        there.script = key_manager_of(keys)
        there.api_key.write_bytes(API_KEY)
        (tmp_path / "ciphertexts").write_text("\n".join(f"number-{number}" for number in range(COUNT)))
        with child(there, tmp_path / "ciphertexts") as process:
            assert "held\n" == told_by(process)
            held = pieces_in(process.pid)
            go_on(process)
            assert "wiped\n" == told_by(process)
            wiped = pieces_in(process.pid)

    print(held, wiped)  # noqa: T201
    nothing = {"raw": 0, "base64": 0, "API key": 0}
    assert {**nothing, "raw": 2 * COUNT} == held, "the control: while they are held they are found, once each"
    assert nothing == wiped
    assert len(there.logins) == 1


def key_manager_of(keys: list[bytes]) -> Callable[[Asked], bytes | Talk]:
    """Unwraps what is called by a key's number, and wraps a key to such a name, in one way of HTTP after the other."""
    numbers = {key: number for number, key in enumerate(keys)}
    turns = iter(range(10**6))

    def script(asked: Asked) -> bytes | Talk:
        told = asked.json
        if asked.path.endswith("/wrap"):
            number = numbers[base64.b64decode(told["plaintext"])]
            return answer(200, {"ciphertext": f"number-{number}", "keyVersion": {"id": "v1"}})
        key = keys[int(told["ciphertext"].partition("-")[2])]
        content = {"plaintext": base64.b64encode(key).decode(), "keyVersion": {"id": "v1"}}
        return _WAYS[next(turns) % len(_WAYS)](content)

    return script


def _in_one_piece(content: Mapping[str, object]) -> bytes:
    """Head and body in one record of TLS."""
    return answer(200, content)


def _escaped(content: Mapping[str, object]) -> bytes:
    """With slashes written as some encoders do."""
    return answer(200, json.dumps(content).replace("/", "\\/").encode())


def _in_pieces(content: Mapping[str, object]) -> bytes:
    """In chunks."""
    body = json.dumps(content).encode()
    pieces = [body[at : at + 100] for at in range(0, len(body), 100)]
    chunks = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces)
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def _in_two_records(content: Mapping[str, object]) -> Talk:
    """The body after the head, and then the end of the connection."""
    whole = answer(200, content)

    def talk(connection: socket.socket) -> None:
        split = whole.index(b"\r\n\r\n") + 4
        connection.sendall(whole[:split])
        connection.sendall(whole[split:])

    return talk


_WAYS: tuple[Callable[[Mapping[str, object]], bytes | Talk], ...] = (
    _in_one_piece,
    _escaped,
    _in_pieces,
    _in_one_piece,
    _in_two_records,
)


@contextmanager
def child(there: Stage, ciphertexts: Path) -> Iterator["subprocess.Popen[str]"]:
    """The process whose memory is searched."""
    words = [there.url, there.ca, there.api_key, INSTANCE, ROOT_KEY, ciphertexts]
    process = subprocess.Popen(
        [sys.executable, str(CHILD), *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
        process.communicate("\n", timeout=20)
    finally:
        process.kill()
        process.wait()


def told_by(process: "subprocess.Popen[str]") -> str:
    """The next line of its output."""
    assert process.stdout is not None
    return process.stdout.readline()


def go_on(process: "subprocess.Popen[str]") -> None:
    """Let it go on."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def pieces_in(pid: int) -> Mapping[str, int]:
    """How many pieces of keys are in the memory of a process."""
    forms = {
        "raw": HEAD + TAIL,
        # Both ends lie at whole digits: what is between them has a length that three divides.
        "base64": base64.b64encode(HEAD) + base64.b64encode(TAIL),
        "API key": API_KEY,
    }
    try:
        found = in_memory(forms.values(), pid)
    except PermissionError:
        pytest.skip("the memory of another process may not be read here")
    return {name: found[form] for name, form in forms.items()}
