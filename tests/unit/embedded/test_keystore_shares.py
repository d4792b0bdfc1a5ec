"""Shares of the keystore's key: any M of N give it, fewer tell nothing, and a mistake is told for what it is."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyrack.domain.secret import Secret
from keyrack.embedded.errors import KeystoreLocked
from keyrack.embedded.root_keys import shares as room
from keyrack.embedded.root_keys.keystore import Keystore
from keyrack.embedded.root_keys.shares import Share, UnusableShare, combine, read, split, subsets
from keyrack.embedded.root_keys.unlock import KeyFile, Recovered

NOW = 1_700_000_000
KEY = bytes(range(100, 132))
KEYSTORE = "0d6c1f3a-1111-4222-8333-444455556666"


def shared(needed: int, total: int, key: bytes = KEY, keystore: str = KEYSTORE) -> list[Share]:
    return split(Secret(bytearray(key)), keystore=keystore, needed=needed, total=total, at=NOW)


def key_of(shares: Sequence[Share]) -> bytes:
    return bytes(combine(shares).reveal())


# GF(2^8) once more, by tables of powers of the generator 3: what the room does, done otherwise.
POWERS: list[int] = []
_octet = 1
for _ in range(255):
    POWERS.append(_octet)
    _double = _octet << 1
    _octet ^= _double ^ 0x11B if _double & 0x100 else _double
LOGARITHMS = {octet: power for power, octet in enumerate(POWERS)}


def by_tables(one: int, other: int) -> int:
    return POWERS[(LOGARITHMS[one] + LOGARITHMS[other]) % 255] if one and other else 0


def test_multiplication_is_that_of_the_field() -> None:
    """All 65,536 products, against tables; {57} x {13} = {fe} is FIPS 197's own example."""
    assert 0xFE == room._times(0x57, 0x13)
    assert all(room._times(one, other) == by_tables(one, other) for one in range(256) for other in range(256))
    assert all(room._times(octet, room._inverse(octet)) == 1 for octet in range(1, 256))


@pytest.mark.parametrize(("needed", "total"), [(2, 2), (2, 3), (3, 5), (4, 6), (5, 5), (16, 16)])
def test_every_choice_of_enough_shares_gives_the_key(needed: int, total: int) -> None:
    """As many as are needed, in any order; more than needed do as well."""
    made = shared(needed, total)

    for chosen in combinations(made, needed):
        assert KEY == key_of(chosen) == key_of(chosen[::-1])
    assert KEY == key_of(made)


@settings(max_examples=30)
@given(st.binary(min_size=32, max_size=32), st.data())
def test_any_key_comes_back(key: bytes, data: st.DataObject) -> None:
    """Whatever its bytes, and whichever shares are brought."""
    total = data.draw(st.integers(2, 16))
    needed = data.draw(st.integers(2, total))
    made = shared(needed, total, key)

    assert key == key_of(data.draw(st.permutations(made))[:needed])


def test_a_share_is_a_value_of_a_polynomial_of_the_degree_that_is_told() -> None:
    """Interpolated by hand: three points give the fourth, two do not."""

    def at(points: dict[int, int], place: int) -> int:
        value = 0
        for number, octet in points.items():
            term = octet
            for other in points:
                if other != number:
                    quotient = (LOGARITHMS[place ^ other] - LOGARITHMS[number ^ other]) % 255
                    term = by_tables(term, POWERS[quotient])
            value ^= term
        return value

    bodies = {share.number: share.body.reveal() for share in shared(3, 5)}

    four = [at({n: bodies[n][place] for n in (1, 2, 3)}, 4) for place in range(32)]
    assert four == list(bodies[4])
    assert four != [at({n: bodies[n][place] for n in (1, 2)}, 4) for place in range(32)]


def test_fewer_shares_than_needed_tell_nothing() -> None:
    """One key of zeros, shared 500 times: each value of each share's byte is as likely as any other (chi-squared).

    The same for two shares that stand beside each other where three are needed: their sum is even as well.
    """
    made = [shared(3, 3, bytes(32)) for _ in range(500)]
    seen = {number: Counter(octet for each in made for octet in each[number].body.reveal()) for number in range(3)}
    sums = Counter(
        one ^ other for each in made for one, other in zip(each[0].body.reveal(), each[1].body.reveal(), strict=True)
    )

    for counted in (*seen.values(), sums):
        expected = counted.total() / 256
        deviation = sum((counted[octet] - expected) ** 2 / expected for octet in range(256))
        assert 120 < deviation < 430, "chi-squared with 255 degrees of freedom: outside once in a billion times"


def test_two_exports_of_one_key_have_nothing_in_common() -> None:
    """Their shares never fit together, and say so."""
    one, other = shared(2, 3), shared(2, 3)

    assert not {bytes(s.body.reveal()) for s in one} & {bytes(s.body.reveal()) for s in other}
    with pytest.raises(UnusableShare, match="only shares of one export fit together"):
        combine([one[0], other[1]])


@pytest.mark.parametrize(("needed", "total"), [(1, 3), (0, 0), (3, 2), (2, 17), (17, 17), (-1, 5)])
def test_there_are_limits(needed: int, total: int) -> None:
    """At least two of them, and at most sixteen."""
    with pytest.raises(UnusableShare, match="at least 2 are needed"):
        shared(needed, total)


def test_what_does_not_fit_is_told() -> None:
    """Too few, the same twice, another keystore's."""
    made = shared(3, 5)
    foreign = shared(3, 5, keystore=KEYSTORE[::-1])

    for given_shares, told in (
        (made[:2], "2 of the 3 shares that are needed were given: 1 more of the export " + made[0].export),
        ([made[0], made[1], made[0]], "share 1 was given twice: 3 different ones are needed"),
        ([made[0], made[1], foreign[2]], f"share 3 is of the keystore {KEYSTORE[::-1]}"),
        ([], "no share was given"),
    ):
        with pytest.raises(UnusableShare, match=told):
            combine(given_shares)


def test_a_share_is_a_text_that_a_person_can_read() -> None:
    """And that survives mail and editors: other line ends, blanks around."""
    share = shared(3, 5)[1]
    text = bytes(share.text()).decode()

    lines = text.splitlines()
    assert lines[:6] == [
        "-----BEGIN KEYRACK SHARE-----",
        f"Keystore: {KEYSTORE}",
        f"Export: {share.export}",
        "Share: 2 of 5",
        "Needed: 3",
        "Created: 2023-11-14T22:13:20Z",
    ]
    for written in (text, text.replace("\n", "\r\n"), "\n \n" + text + "\n\n", text.replace("\n", "  \n").rstrip()):
        again = read(bytearray(written.encode()), "share")
        assert again.body.matches(share.body)
        assert (again.number, again.needed, again.total, again.export) == (2, 3, 5, share.export)


def test_every_mistyped_character_is_noticed() -> None:
    """Each of the file's, changed to each of four others."""
    original = bytes(shared(3, 5)[0].text())
    randomness = random.Random(3)
    harmless = {ord(" "), ord("\n"), ord("\r"), ord("\t"), 0x0B, 0x0C}

    for place in range(len(original)):
        for _ in range(4):
            changed = bytearray(original)
            changed[place] = randomness.choice([octet for octet in range(256) if octet != original[place]])
            if original[place] in harmless and changed[place] in harmless:
                continue
            with pytest.raises(UnusableShare, match=r"share-1\.txt (was mistyped|is not a share)"):
                read(changed, "share-1.txt")


@pytest.mark.parametrize("text", ["", "hello", room.BEGIN, f"{room.BEGIN}\n{room.END}\n", "\x00" * 500, "é" * 100])
def test_another_file_is_not_taken_for_a_share(text: str) -> None:
    """One clear line."""
    with pytest.raises(UnusableShare, match="is not a share"):
        read(bytearray(text.encode()), "file")


def test_a_share_of_wrong_numbers_is_none_though_its_check_fits() -> None:
    """Share 0 would be the key itself."""
    made = shared(3, 5)[0]

    for wrong in (replace(made, number=0), replace(made, number=6), replace(made, needed=1), replace(made, total=17)):
        with pytest.raises(UnusableShare, match="is not a share"):
            read(wrong.text(), "forged")


def test_a_forged_share_gives_a_key_that_opens_nothing(tmp_path: Path) -> None:
    """Its check fits, and the keystore's MAC does not."""
    unlock = KeyFile(tmp_path / "key")
    unlock.create()
    keystore = Keystore.create(tmp_path / "keystore", unlock, at=NOW)
    with keystore.key() as key:
        made = split(key, keystore=keystore.identifier, needed=2, total=3, at=NOW)
    forged = read(replace(made[1], body=Secret(bytearray(32))).text(), "forged")

    assert keystore.identifier == Keystore.open(tmp_path / "keystore", Recovered(combine(made[:2]))).identifier
    with pytest.raises(KeystoreLocked, match="the shares do not give its key"):
        Keystore.open(tmp_path / "keystore", Recovered(combine([made[0], forged])))


@pytest.mark.parametrize(("needed", "total", "count"), [(3, 5, 10), (2, 2, 1), (8, 16, 100), (2, 16, 100)])
def test_an_export_is_tried_with_all_choices_or_a_hundred(needed: int, total: int, count: int) -> None:
    """Each share has its turn."""
    tried = list(subsets(shared(needed, total)))

    assert count == len(tried)
    assert {needed} == {len({share.number for share in each}) for each in tried}
    assert set(range(1, total + 1)) == {share.number for each in tried for share in each}


def test_a_share_shows_nothing_secret() -> None:
    """Where it is printed as a value."""
    share = shared(2, 2)[0]

    assert share.body.reveal().hex() not in repr(share)
    assert "<Secret 32 bytes>" in repr(share)
