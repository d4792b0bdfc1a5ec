"""New key material, from the operating system's generator, which is looked at before the first key is made."""

from collections.abc import Callable

from keyrack.domain.secret import SYSTEM, Randomness, Secret, randomize, wipe

Fill = Callable[[bytearray], None]
SAMPLE = 2**20
"""Bytes that the health check draws."""
_DEVIATIONS = 6
"""A fair coin strays so many standard deviations once in 500 million checks; a broken generator, by thousands."""


class UnhealthyGenerator(Exception):
    """The random number generator repeats itself or is not balanced: no key may be made on this machine."""


def generate(length: int, randomness: Randomness = SYSTEM) -> Secret:
    """``length`` random bytes of key material. They never were anywhere but in the secret."""
    material = randomness.secret(length)
    if length >= 16 and not any(material.reveal()):
        raise UnhealthyGenerator("the random number generator gave zeros: make no keys on this machine")
    return material


def check_health(fill: Fill = randomize) -> None:
    """Raise :class:`UnhealthyGenerator` unless two draws differ and a mebibyte of bits is balanced. Takes about 10 ms.

    Counts the ones and the changes between neighbours (the frequency and runs tests of NIST SP 800-22, 2.1 and 2.3).
    """
    first, second = bytearray(32), bytearray(32)
    fill(first)
    fill(second)
    if first == second:
        raise UnhealthyGenerator("the random number generator repeats itself: make no keys on this machine")
    sample = bytearray(SAMPLE)
    fill(sample)
    number = int.from_bytes(sample)
    bits = 8 * SAMPLE
    for what, count in (("ones", number.bit_count()), ("changes", (number ^ (number >> 1)).bit_count())):
        if abs(count - bits / 2) > _DEVIATIONS * bits**0.5 / 2:
            raise UnhealthyGenerator(f"the random number generator is not balanced in its {what}: make no keys with it")
    wipe(sample)
