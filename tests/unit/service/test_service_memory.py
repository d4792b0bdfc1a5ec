"""The plaintext of a key is nowhere in the process after a purge: its own memory is searched for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = r'''
"""Seals and opens a key that it reads inverted, and counts it in its own memory before and after a purge."""
import asyncio, ctypes, gc, json, mmap, sys
from dataclasses import replace
from pathlib import Path

from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.domain.secret import Secret
from keyrack.embedded.root_keys.unlock import KeyFile
from keyrack.service.vault.envelope import Vault, context_of
from keyrack.testing.vaults import an_instance, an_object

directory, inverted, length = Path(sys.argv[1]), bytes.fromhex(sys.argv[2]), int(sys.argv[3])
leak = sys.argv[4] == "leak"


def canary():
    """The material, built in place: the pattern is never in memory but in what this returns."""
    material = bytearray(length)
    for index in range(length):
        material[index] = inverted[index % 32] ^ 0xFF
    return material


# The searcher reads into a mapping of its own and leaves that out, or it would find what it has just read.
window = mmap.mmap(-1, 1 << 20)
here = ctypes.addressof(ctypes.c_char.from_buffer(window))


def occurrences():
    """How often the first 16 bytes of the pattern stand in this process's memory."""
    pattern = bytearray(16)
    for index in range(16):
        pattern[index] = inverted[index] ^ 0xFF
    found = 0
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", buffering=0) as memory:
        for region in [line.split() for line in maps]:
            start, end = (int(part, 16) for part in region[0].split("-"))
            if region[1].startswith("rw") and not region[-1].startswith("[v"):
                found += searched(memory, start, min(end, max(here, start)), pattern)
                found += searched(memory, max(start, min(here + len(window), end)), end, pattern) if here < end else 0
    return found


def searched(memory, at, end, pattern):
    found = 0
    while at < end:
        memory.seek(at)
        try:
            size = memory.readinto(memoryview(window)[: min(len(window), end - at)])
        except OSError:
            break
        hit = window.find(pattern, 0, size)
        while hit >= 0:
            found += 1
            hit = window.find(pattern, hit + 1, size)
        at += size
    return found


async def main():
    unlock = KeyFile(directory / "keystore.key")
    unlock.create()
    manager = EmbeddedKeyManager.create(directory / "keystore", unlock)
    root_key = await manager.create_root_key("root")
    vault = Vault({"memory": manager}, manager.integrity_root(), "keyrack-1")
    instance = an_instance(root_key.identifier)
    objects = [an_object(f"object-{number}") for number in range(20)]
    kept = []
    baseline = occurrences()
    with Secret(canary()) as secret:
        objects = [
            replace(each, sealed=await vault.seal_new(instance, context_of(each), secret)) for each in objects
        ]
    for _ in range(10):
        vault.purge()
        for each in objects:
            opened = await vault.open(instance, each)
            if leak:
                kept.append(bytes(opened.reveal()))
    del opened
    before = occurrences()
    vault.purge()
    gc.collect()
    after = occurrences()
    print(json.dumps([baseline, before, after]))
    await manager.close()

asyncio.run(main())
'''


def counted(directory: Path, length: int, *, leak: bool) -> list[int]:
    inverted = bytes((index * 37 + 11) % 256 for index in range(32)).hex()
    command = [sys.executable, "-c", _PROGRAM, str(directory), inverted, str(length), "leak" if leak else ""]
    # A call that is bound lazily saves the vector registers, and with them what memcpy has just moved, on the stack.
    environ = {**os.environ, "LD_BIND_NOW": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, env=environ)
    baseline, before, after = (int(number) for number in done.stdout.strip(" []\n").split(","))
    # The pattern that is searched for lies in memory itself while it is searched.
    return [before - baseline, after - baseline]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs /proc")
@pytest.mark.parametrize("length", [32, 2000])
def test_after_a_purge_no_key_is_left_in_memory(tmp_path: Path, length: int) -> None:
    """After ten times opening and purging twenty objects of one material; before the last purge it is there."""
    pieces = 20 * -(-length // 32)

    before, after = counted(tmp_path, length, leak=False)

    assert 20 <= before <= pieces
    assert 0 == after


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs /proc")
def test_the_search_finds_what_is_left_behind(tmp_path: Path) -> None:
    """The control: copies in immutable bytes outlive the purge, and are found."""
    _, after = counted(tmp_path, 32, leak=True)

    assert after >= 200
