"""Journals made for tests: chains, checkpoints and every way to spoil them, in memory and in a catalog's file."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final

from keyrack.adapters.journals.signing import SigningKey
from keyrack.domain.checkpoints import Head, SignedCheckpoint, Statement, signed_as
from keyrack.domain.journal import Entry
from keyrack.domain.journal_chain import canonical, genesis, link
from keyrack.ports.journal import JournalRecord
from keyrack.service.journal.proof import Proof, Proved, fed

CHAINS: Final = ("administration", "kmip-0", "kmip-1")


@dataclass(slots=True)
class Journal:
    """Records in the order of their numbers, and checkpoints."""

    records: list[JournalRecord] = field(default_factory=list)
    checkpoints: list[SignedCheckpoint] = field(default_factory=list)

    def copy(self) -> "Journal":
        """To be spoilt."""
        return Journal(list(self.records), list(self.checkpoints))

    @property
    def covered(self) -> int:
        """How many records the last checkpoint covers."""
        return self.checkpoints[-1].statement.through

    def end_of(self, chain: str) -> tuple[int, bytes]:
        """The last sequence and hash of a chain."""
        found = next((each for each in reversed(self.records) if each.chain == chain), None)
        return (found.sequence, found.hash) if found else (0, genesis(chain))

    def add(self, chain: str, text: str) -> None:
        """One more record, as it should be."""
        sequence, before = self.end_of(chain)
        record = JournalRecord(chain, sequence + 1, text, link(before, text), len(self.records) + 1)
        self.records.append(record)

    def sign(self, key: SigningKey, *, successor: str = "") -> None:
        """One more checkpoint, over everything so far."""
        last = self.checkpoints[-1] if self.checkpoints else None
        after = last.statement.through if last else 0
        covered = [each for each in self.records if each.number > after]
        hashes = sha256(b"".join(each.hash for each in covered))
        statement = Statement(
            deployment="tests",
            number=(last.number if last else 0) + 1,
            at=1_800_000_000_000 + len(self.records),
            previous=last.hash.hex() if last else "",
            key=key.public,
            after=after,
            through=len(self.records),
            records=len(covered),
            digest=hashes.hexdigest(),
            heads=[Head(chain, *self.end_of(chain)) for chain in CHAINS if self.end_of(chain)[0]],
            keys=3,
            destroyed=0,
            destroyed_digest=sha256().hexdigest(),
            successor=successor,
        )
        self.checkpoints.append(signed_as(statement, key.sign(statement.text)))

    def proved(self, key: SigningKey, exported: Sequence[SignedCheckpoint] | None = None) -> Proved:
        """Walked whole, with the key pinned."""
        kept = {each.number: each.hash for each in exported} if exported is not None else None
        return fed(Proof(pins=[key.public], exported=kept), self.records, self.checkpoints)


def a_text(chance: random.Random) -> str:
    """The text of some entry."""
    return canonical(
        Entry(
            at=1_800_000_000_000 + chance.randrange(10**9),
            action=chance.choice(("Get", "Create", "Locate", "certificate.add")),
            outcome=chance.choice(("success", "success", "Item Not Found")),
            initiator=f"CertificateID-{chance.randbytes(4).hex()}",
            address="192.0.2.1:1",
            instance="i",
            target=chance.randbytes(4).hex(),
        )
    )


def a_journal(
    chance: random.Random, key: SigningKey, *, records: int = 60, every: int = 20, behind: int = 5
) -> Journal:
    """So many records with a checkpoint now and then, and some records ``behind`` the last one."""
    made = Journal()
    for number in range(1, records + 1):
        made.add(chance.choice(CHAINS), a_text(chance))
        if number % every == 0:
            made.sign(key)
    for _ in range(behind):
        made.add(chance.choice(CHAINS), a_text(chance))
    return made


Spoil = Callable[[Journal, random.Random], None]


def chained_anew(journal: Journal) -> None:
    """Sequences and hashes computed anew for all records, as somebody does who knows how."""
    ends: dict[str, tuple[int, bytes]] = {}
    for position, record in enumerate(journal.records):
        sequence, before = ends.get(record.chain, (0, genesis(record.chain)))
        made = JournalRecord(record.chain, sequence + 1, record.text, link(before, record.text), position + 1)
        journal.records[position] = made
        ends[record.chain] = made.sequence, made.hash


def _somewhere(journal: Journal, chance: random.Random) -> int:
    """The position of a record that a checkpoint covers."""
    return chance.randrange(journal.covered)


def edited(journal: Journal, chance: random.Random) -> None:
    """One character of a text."""
    at = _somewhere(journal, chance)
    text = journal.records[at].text
    place = chance.randrange(len(text))
    other = chance.choice([each for each in "abcxyz019" if each != text[place]])
    journal.records[at] = replace(journal.records[at], text=text[:place] + other + text[place + 1 :])


def edited_with_hash(journal: Journal, chance: random.Random) -> None:
    """A text, with the record's own hash made to fit."""
    edited(journal, chance)
    for at, record in enumerate(journal.records):
        before = next((each.hash for each in reversed(journal.records[:at]) if each.chain == record.chain), None)
        journal.records[at] = replace(record, hash=link(before or genesis(record.chain), record.text))
        if journal.records[at].hash != record.hash:
            return


def edited_and_chained(journal: Journal, chance: random.Random) -> None:
    """A text, with everything behind it computed anew."""
    edited(journal, chance)
    chained_anew(journal)


def removed(journal: Journal, chance: random.Random) -> None:
    """One record, or some that follow each other."""
    at = _somewhere(journal, chance)
    del journal.records[at : at + chance.choice((1, 1, 1, 2, 5))]


def removed_and_chained(journal: Journal, chance: random.Random) -> None:
    """The same, with everything computed anew."""
    removed(journal, chance)
    chained_anew(journal)


def inserted(journal: Journal, chance: random.Random) -> None:
    """A record of a chain that is there, or of a new one, with a link that fits where it stands."""
    at = _somewhere(journal, chance)
    chain = chance.choice((*CHAINS, "kmip-9"))
    before = next((each for each in reversed(journal.records[:at]) if each.chain == chain), None)
    text = a_text(chance)
    made = link(before.hash if before else genesis(chain), text)
    number = journal.records[at].number
    record = JournalRecord(chain, before.sequence + 1 if before else 1, text, made, number)
    behind = [replace(each, number=each.number + 1) for each in journal.records[at:]]
    journal.records[at:] = [record, *behind]


def inserted_and_chained(journal: Journal, chance: random.Random) -> None:
    """The same, with everything computed anew."""
    inserted(journal, chance)
    chained_anew(journal)


def swapped(journal: Journal, chance: random.Random) -> None:
    """Two records in each other's places, of one chain or of two."""
    one, other = sorted(chance.sample(range(journal.covered), 2))
    first, second = journal.records[one], journal.records[other]
    journal.records[one] = replace(second, number=first.number)
    journal.records[other] = replace(first, number=second.number)


def swapped_and_chained(journal: Journal, chance: random.Random) -> None:
    """The same, with everything computed anew."""
    while True:
        one, other = sorted(chance.sample(range(journal.covered), 2))
        if journal.records[one].text != journal.records[other].text:
            break
    first, second = journal.records[one], journal.records[other]
    journal.records[one], journal.records[other] = second, first
    chained_anew(journal)


def truncated(journal: Journal, chance: random.Random) -> None:
    """Everything from some record on."""
    del journal.records[_somewhere(journal, chance) :]


def relabelled(journal: Journal, chance: random.Random) -> None:
    """A record put into another chain."""
    at = _somewhere(journal, chance)
    others = [each for each in CHAINS if each != journal.records[at].chain]
    journal.records[at] = replace(journal.records[at], chain=chance.choice(others))


def checkpoint_edited(journal: Journal, chance: random.Random) -> None:
    """A digit of a checkpoint."""
    at = chance.randrange(len(journal.checkpoints))
    text = journal.checkpoints[at].text
    place = chance.choice([n for n, each in enumerate(text) if each in "0123456789"])
    other = chance.choice([each for each in "123456789" if each != text[place]])
    edited_text = text[:place] + other + text[place + 1 :]
    journal.checkpoints[at] = replace(journal.checkpoints[at], text=edited_text)


def checkpoint_removed(journal: Journal, chance: random.Random) -> None:
    """Any but the last, which only an exported one shows."""
    del journal.checkpoints[chance.randrange(len(journal.checkpoints) - 1)]


def signed_by_another(journal: Journal, chance: random.Random) -> None:
    """A text edited, all chains computed anew, and all checkpoints made anew with a key of one's own."""
    edited_and_chained(journal, chance)
    ends = [each.statement.through for each in journal.checkpoints]
    key, records = SigningKey.new(), journal.records
    journal.checkpoints, journal.records = [], []
    for record in records:
        journal.records.append(record)
        if record.number in ends:
            journal.sign(key)


SPOILERS: Final[tuple[Spoil, ...]] = (
    edited,
    edited_with_hash,
    edited_and_chained,
    removed,
    removed_and_chained,
    inserted,
    inserted_and_chained,
    swapped,
    swapped_and_chained,
    truncated,
    relabelled,
    checkpoint_edited,
    checkpoint_removed,
    signed_by_another,
)
