"""The proof of a journal: what was written is found sound, and ten thousand ways to spoil it are all found."""

import random
from collections import Counter

import pytest

from keyrack.adapters.journals.signing import SigningKey
from keyrack.service.journal.proof import Proof, fed
from keyrack.testing.journals import CHAINS, SPOILERS, Journal, a_journal, a_text, chained_anew

KEY = SigningKey.new()
SPOILT = 10_000
A_SEED = 20


def test_what_was_written_is_sound() -> None:
    """No flaw; what stands behind the last checkpoint is told."""
    journal = a_journal(random.Random(1), KEY)

    found = journal.proved(KEY, journal.checkpoints)

    assert found.flaws == ()
    assert (found.records, found.checkpoints, found.unvouched) == (65, 3, 5)
    assert found.last is not None
    assert found.last.through == 60
    assert {head.chain for head in found.heads} == set(CHAINS)


def test_ten_thousand_spoilt_journals_are_all_found() -> None:
    """Edits, removals, insertions, swaps, truncations; hashes and chains computed anew; checkpoints too."""
    chance = random.Random(2)
    missed: Counter[str] = Counter()
    journal = a_journal(chance, KEY)
    for number in range(SPOILT):
        if number % A_SEED == 0:
            journal = a_journal(chance, KEY, records=chance.randrange(24, 37, 4), every=12)
        spoil = SPOILERS[number % len(SPOILERS)]
        spoilt = journal.copy()
        spoil(spoilt, chance)
        if not spoilt.proved(KEY).flaws:
            missed[spoil.__name__] += 1
    assert missed == {}


@pytest.mark.slow
def test_a_hundred_thousand_spoilt_long_journals_are_all_found() -> None:
    """The same with journals of some hundred records, whose checkpoints are many."""
    chance = random.Random(3)
    missed: Counter[str] = Counter()
    for number in range(100_000):
        if number % 500 == 0:
            journal = a_journal(chance, KEY, records=300, every=chance.choice((10, 50, 100)))
        spoil = chance.choice(SPOILERS)
        spoilt = journal.copy()
        spoil(spoilt, chance)
        if not spoilt.proved(KEY).flaws:
            missed[spoil.__name__] += 1
    assert missed == {}


def test_a_journal_put_back_is_found_by_what_was_exported() -> None:
    """Records and checkpoints cut off together: the catalog alone looks sound, the exported file tells."""
    journal = a_journal(random.Random(4), KEY)
    exported = list(journal.checkpoints)
    older = Journal(journal.records[:40], journal.checkpoints[:2])

    assert older.proved(KEY).flaws == ()
    (flaw,) = older.proved(KEY, exported).flaws

    assert "older than what was exported" in flaw.what


def test_what_stands_behind_the_last_checkpoint_is_chained() -> None:
    """An edit there is found, as long as the chain was not computed anew: that only the next checkpoint shows."""
    journal = a_journal(random.Random(5), KEY)
    last = journal.records[-1]
    spoilt = journal.copy()
    spoilt.records[-1] = type(last)(last.chain, last.sequence, a_text(random.Random(6)), last.hash, last.number)
    anew = spoilt.copy()
    chained_anew(anew)

    assert spoilt.proved(KEY).flaws
    assert anew.proved(KEY).flaws == ()


def test_a_successor_signs_on() -> None:
    """A key that the one before has named is as good; one that it has not named is found."""
    chance = random.Random(7)
    successor, thief = SigningKey.new(), SigningKey.new()
    journal = Journal()
    for key, names in ((KEY, ""), (KEY, successor.public), (successor, "")):
        journal.add("kmip-0", a_text(chance))
        journal.sign(key, successor=names)
    stolen = journal.copy()
    stolen.add("kmip-0", a_text(chance))
    stolen.sign(thief)

    assert journal.proved(KEY).flaws == ()
    assert journal.proved(successor).flaws == ()
    (flaw,) = stolen.proved(KEY).flaws
    assert flaw.what == "is signed by a key that the one before it does not name"


def test_a_pinned_key_has_to_have_signed() -> None:
    """A whole journal made by somebody else, with a key of their own, is sound in itself and not what is pinned."""
    forged = a_journal(random.Random(8), SigningKey.new())

    (flaw,) = forged.proved(KEY).flaws

    assert "pinned" in flaw.what
    assert fed(Proof(), forged.records, forged.checkpoints).flaws == ()
