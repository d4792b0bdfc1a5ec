"""The journal's chain: whatever is done to a written journal is found."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyrack.domain.checkpoints import Head
from keyrack.domain.journal import Entry
from keyrack.domain.journal_chain import canonical, genesis, link
from keyrack.ports.catalog import JournalRecord
from keyrack.service.journal.chain import verify

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
entries = st.builds(
    Entry,
    at=st.integers(0, 2**53),
    action=texts,
    outcome=texts,
    initiator=texts,
    address=texts,
    instance=texts,
    target=texts,
    detail=st.dictionaries(texts, texts | st.integers(), max_size=4),
)


def written(chain: str, count: int, first: int = 1, previous: bytes | None = None) -> list[JournalRecord]:
    """A chain as a writer makes it."""
    records, head = [], previous or genesis(chain)
    for sequence in range(first, first + count):
        text = f'{{"action":"{chain} {sequence}"}}'
        head = link(head, text)
        records.append(JournalRecord(chain, sequence, text, head, sequence))
    return records


JOURNAL = [record for pair in zip(written("kmip-0", 12), written("cli", 12), strict=True) for record in pair]


@given(entries)
def test_the_canonical_text_is_sorted_json_without_spaces(entry: Entry) -> None:
    """The text is what any JSON library writes for the same fields, sorted and dense."""
    expected = json.dumps(asdict(entry), sort_keys=True, separators=(",", ":"))

    assert expected == canonical(entry)


@given(entries, st.randoms())
def test_the_order_of_details_does_not_matter(entry: Entry, random: "st.Random") -> None:  # type: ignore[name-defined]
    """The same entry has the same text, in whatever order its details were gathered."""
    shuffled = list(entry.detail.items())
    random.shuffle(shuffled)

    assert canonical(entry) == canonical(replace(entry, detail=dict(shuffled)))


def test_an_untouched_journal_is_sound() -> None:
    """Two chains interleaved verify, and their heads are told."""
    verdict = verify(JOURNAL)

    assert (24, ()) == (verdict.records, verdict.flaws)
    assert {(each.chain, each.sequence) for each in verdict.heads} == {("kmip-0", 12), ("cli", 12)}


def test_an_empty_journal_is_sound() -> None:
    """Nothing written, nothing wrong."""
    assert verify([]).flaws == ()


def test_a_journal_agrees_with_its_own_checkpoints() -> None:
    """Heads noted earlier are found on the way."""
    earlier = verify(JOURNAL[:10]).heads

    assert verify(JOURNAL, earlier).flaws == ()


def places(records: Sequence[JournalRecord]) -> set[tuple[str, int]]:
    """Where the flaws are."""
    return {(flaw.chain, flaw.sequence) for flaw in verify(records).flaws}


@given(st.integers(0, len(JOURNAL) - 1), st.data())
def test_every_edit_is_found_where_it_is(place: int, data: st.DataObject) -> None:
    """Any other text, hash, chain or sequence in one record is told."""
    record = JOURNAL[place]
    field = data.draw(st.sampled_from(["text", "hash", "sequence", "chain"]))
    changed = {
        "text": replace(record, text=record.text.replace("action", "Action")),
        "hash": replace(record, hash=bytes([record.hash[0] ^ 1, *record.hash[1:]])),
        "sequence": replace(record, sequence=record.sequence + 100),
        "chain": replace(record, chain="kmip-1"),
    }[field]
    found = places([*JOURNAL[:place], changed, *JOURNAL[place + 1 :]])

    assert found
    assert (changed.chain, changed.sequence) in found


@given(st.integers(0, len(JOURNAL) - 3))
def test_every_deletion_is_found(place: int) -> None:
    """A record taken out from before the end of its chain is told at the next one."""
    taken = JOURNAL[place]
    found = places([*JOURNAL[:place], *JOURNAL[place + 1 :]])

    assert (taken.chain, taken.sequence + 1) in found


@given(st.integers(0, len(JOURNAL) - 1), st.sampled_from(["kmip-0", "cli"]))
def test_every_insertion_is_found(place: int, chain: str) -> None:
    """A record put in between, even with a hash that follows, breaks the chain after it."""
    before = [record for record in JOURNAL[:place] if record.chain == chain]
    after = [record for record in JOURNAL[place:] if record.chain == chain]
    if not after:
        return
    (forged,) = written(chain, 1, len(before) + 1, before[-1].hash if before else None)
    forged = replace(forged, text='{"action":"forged"}')
    forged = replace(forged, hash=link(before[-1].hash if before else genesis(chain), forged.text))

    assert places([*JOURNAL[:place], forged, *JOURNAL[place:]])


@given(st.integers(0, 10), st.integers(1, 11))
def test_every_reordering_inside_a_chain_is_found(first: int, distance: int) -> None:
    """Two records of one chain that changed places are told."""
    chain = written("kmip-0", 12)
    second = min(first + distance, 11)
    chain[first], chain[second] = chain[second], chain[first]

    assert places(chain)


def test_a_whole_chain_cannot_pass_under_another_name() -> None:
    """The first link is made of the chain's name."""
    assert places([replace(record, chain="kmip-1") for record in written("kmip-0", 3)]) == {("kmip-1", 1)}


@pytest.mark.parametrize("left", [0, 1, 5])
def test_a_truncation_is_found_by_a_checkpoint(left: int) -> None:
    """What a checkpoint has seen and is gone is told, even if the whole chain is gone."""
    seen = verify(written("cli", 6)).heads

    (flaw,) = verify(written("cli", left), seen).flaws
    assert ("cli", 6) == (flaw.chain, flaw.sequence)


def test_a_chain_computed_anew_is_found_by_a_checkpoint() -> None:
    """A forger who computes all hashes again cannot meet the checkpoint."""
    seen = verify(written("cli", 6)).heads
    forged, head = [], genesis("cli")
    for sequence in range(1, 8):
        head = link(head, f"forged {sequence}")
        forged.append(JournalRecord("cli", sequence, f"forged {sequence}", head))

    assert verify(forged).flaws == ()
    assert [("cli", 6)] == [(flaw.chain, flaw.sequence) for flaw in verify(forged, seen).flaws]


def test_one_edit_is_told_once() -> None:
    """After an edited text, the records behind it are still checked and not all blamed."""
    chain = written("cli", 9)
    chain[4] = replace(chain[4], text="edited")

    assert {("cli", 5)} == places(chain)


def test_a_checkpoint_is_a_plain_value() -> None:
    """It compares, so that it may be kept as text and read again."""
    assert Head("cli", 1, b"x") == Head("cli", 1, b"x")
