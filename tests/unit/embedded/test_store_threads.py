"""Many threads at one database: nobody mistakes another's commit for an older copy that was put back."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from keyrack.embedded.house import House
from keyrack.testing.key_houses import a_house, an_instance

READERS = 4
CHANGES = 150


def test_who_reads_while_others_write_sees_no_rollback(tmp_path: Path) -> None:
    house = a_house(tmp_path)
    over = threading.Event()

    with ThreadPoolExecutor(READERS + 1) as pool:
        readers = [pool.submit(_read, house, over) for _ in range(READERS)]
        writer = pool.submit(_write, house, over)

    writer.result()
    for reader in readers:
        revisions = reader.result()
        assert revisions == sorted(revisions)
    house.close()


def _read(house: House, over: threading.Event) -> list[int]:
    seen = []
    while not over.is_set():
        with house.reading() as reading:
            seen.append(reading.revision)
    return seen


def _write(house: House, over: threading.Event) -> None:
    try:
        for _ in range(CHANGES):
            an_instance(house)
    finally:
        over.set()
