"""Turns: one at a time, in the order of asking."""

import threading
import time

from keyrack.embedded.root_keys.turns import Turns


def test_who_came_first_is_served_first() -> None:
    """Also when the one who goes asks again at once."""
    turns = Turns()
    served: list[int] = []
    assert turns.take(time.monotonic() + 5)

    def wait(number: int) -> None:
        assert turns.take(time.monotonic() + 5)
        served.append(number)
        turns.give()

    threads = []
    for number in range(20):
        threads.append(threading.Thread(target=wait, args=(number,)))
        threads[-1].start()
        while len(turns._waiting) <= number:
            time.sleep(0.001)
    turns.give()
    assert turns.take(time.monotonic() + 5)
    for thread in threads:
        thread.join()

    assert list(range(20)) == served


def test_who_waits_too_long_goes_without() -> None:
    """And is not served afterwards in vain."""
    turns = Turns()
    assert turns.take(time.monotonic())

    assert not turns.take(time.monotonic() + 0.01)

    turns.give()
    assert turns.take(time.monotonic())


def test_one_at_a_time_and_nobody_is_forgotten() -> None:
    """Many threads with deadlines that are met, nearly met and missed; a turn that comes too late is handed on."""
    turns = Turns()
    inside: list[int] = []
    most: list[int] = []
    came = [0] * 32

    def work(number: int) -> None:
        for step in range(60):
            if turns.take(time.monotonic() + (0.0005 if step % 2 else 5)):
                inside.append(number)
                most.append(len(inside))
                time.sleep(0.00001)
                inside.pop()
                came[number] += 1
                turns.give()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert 1 == max(most)
    assert min(came) >= 30
    assert turns.take(time.monotonic())
