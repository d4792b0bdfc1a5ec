"""Mutation: well-formed bytes, spoiled in the ways that break parsers, and read again."""

from random import Random

INTERESTING = (0, 1, 4, 7, 8, 9, 16, 0x7F, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF8, 0xFFFFFFFF)


def mutated(random: Random, data: bytes, other: bytes) -> bytes:
    """One to four changes; half of the time the outermost length is made right again, so that more of it is read."""
    spoiled = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        random.choice(CHANGES)(random, spoiled, other)
    if random.random() < 0.5 and len(spoiled) >= 8:
        del spoiled[len(spoiled) & -8 :]
        spoiled[4:8] = (len(spoiled) - 8).to_bytes(4, "big")
    return bytes(spoiled)


def _flip(random: Random, data: bytearray, other: bytes) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _number(random: Random, data: bytearray, other: bytes) -> None:
    """A length, or the first half of a value, becomes an interesting number."""
    if len(data) >= 8:
        place = random.randrange(0, len(data) - 7, 8) + random.choice((0, 4))
        data[place : place + 4] = random.choice(INTERESTING).to_bytes(4, "big")


def _type(random: Random, data: bytearray, other: bytes) -> None:
    if len(data) >= 8:
        data[random.randrange(3, len(data), 8)] = random.randrange(12)


def _cut(random: Random, data: bytearray, other: bytes) -> None:
    del data[random.randrange(len(data) + 1) :]


def _remove(random: Random, data: bytearray, other: bytes) -> None:
    place = random.randrange(0, len(data) + 1, 8)
    del data[place : place + 8 * random.randrange(1, 4)]


def _repeat(random: Random, data: bytearray, other: bytes) -> None:
    place = random.randrange(0, len(data) + 1, 8)
    data[place:place] = data[place : place + 8 * random.randrange(1, 6)]


def _splice(random: Random, data: bytearray, other: bytes) -> None:
    place = random.randrange(0, len(data) + 1, 8)
    start = random.randrange(0, len(other) + 1, 8)
    data[place:place] = other[start : start + 8 * random.randrange(1, 8)]


def _nest(random: Random, data: bytearray, other: bytes) -> None:
    """The whole becomes the content of itself, many times over."""
    for _ in range(random.choice((1, 3, 20))):
        data[:0] = data[:4] + len(data).to_bytes(4, "big")


CHANGES = (_flip, _flip, _number, _number, _type, _cut, _remove, _repeat, _splice, _nest)
