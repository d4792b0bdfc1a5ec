"""Who makes import tokens: an RSA key takes seconds, and one instance's hurry must not become the others' wait."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from keyrack.embedded.errors import TooManyRequests
from keyrack.embedded.house import House
from keyrack.embedded.import_tokens import make
from keyrack.testing.key_houses import INSTANCE, OTHER_INSTANCE, a_call, a_house, an_instance

THIRD = "9c1d6a0e-3f57-4a53-8a0c-8a5b8ad0c7d2"
SLOW = 1.0
"""Seconds that the machine of these tests takes for an RSA key."""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    real = rsa.generate_private_key

    def slowly(exponent: int, bits: int) -> object:
        time.sleep(SLOW)
        return real(exponent, 1024)

    monkeypatch.setattr(rsa, "generate_private_key", slowly)
    made = a_house(tmp_path)
    an_instance(made, OTHER_INSTANCE)
    an_instance(made, THIRD)
    yield made
    made.close()


def started(house: House, instance: str, told: Counter[str]) -> threading.Thread:
    def ask() -> None:
        try:
            make(house, a_call(instance=instance))
            told["made"] += 1
        except TooManyRequests:
            told["refused"] += 1

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def test_an_instance_in_a_hurry_holds_one_thread_and_not_all(house: House) -> None:
    told: Counter[str] = Counter()
    began = time.monotonic()
    threads = [started(house, INSTANCE, told) for _ in range(6)]
    for thread in threads:
        thread.join()

    assert {"made": 1, "refused": 5} == told
    assert time.monotonic() - began < 3 * SLOW


def test_another_instance_has_its_turn(house: House) -> None:
    told: Counter[str] = Counter()
    hasty = started(house, INSTANCE, told)
    time.sleep(SLOW / 5)

    make(house, a_call(instance=OTHER_INSTANCE))

    hasty.join()
    assert {"made": 1} == told


def test_few_wait_at_one_time(house: House) -> None:
    told: Counter[str] = Counter()
    threads = []
    for instance in (INSTANCE, OTHER_INSTANCE, THIRD):
        threads.append(started(house, instance, told))
        time.sleep(SLOW / 5)
    for thread in threads:
        thread.join()

    assert {"made": 2, "refused": 1} == told
    make(house, a_call(instance=THIRD))
