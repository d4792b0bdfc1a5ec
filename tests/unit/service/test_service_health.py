"""What is told of an instance: each reason, with what it means and what mends it, and all that calls for a look."""

from dataclasses import replace
from typing import Any

import pytest

from keyrack.domain.instances import Home, Instance, Storage, WrappingKey
from keyrack.ports.catalog import Leftover, Validation
from keyrack.ports.key_manager import Reason
from keyrack.service.care.validation import UNLISTED, Look
from keyrack.service.health.findings import Finding, Level, ago
from keyrack.service.health.instance_health import DELETED_WITHIN, FRESH, Known, bound, findings
from keyrack.service.health.remedies import REMEDIES, remedy
from keyrack.service.vault.lease import Terms
from keyrack.testing.catalog_values import ONE, instance

NOW = 1_800_000_000
WELL = Look(state=1, version="v2")
INSTANCE = replace(instance(), storage=Storage.KEY_MANAGER)
ELSEWHERE = {Reason.STATE: "Enable it in the console."}
"""What a key manager of another kind tells to do."""


def validation(**fields: Any) -> Validation:
    """What the server has found a minute ago."""
    return Validation(**{"instance": ONE, "at": NOW - 60, "since": NOW - 3600, **fields})


def told(found: Instance = INSTANCE, seen: Look | None = WELL, **known: Any) -> list[Finding]:
    """What is told, but for what is well."""
    return [each for each in findings(Known(instance=found, seen=seen, **known), NOW) if each.level is not Level.OK]


def test_each_reason_has_a_meaning_and_an_act() -> None:
    """Of words, without a loose end."""
    assert set(REMEDIES) == set(Reason)
    for reason in Reason:
        found = remedy(reason, "root-1", 1, None)
        assert found.means
        assert found.act
        assert "{" not in found.means + found.act


@pytest.mark.parametrize(
    ("state", "reason", "act"),
    [
        (2, Reason.STATE, "'keyrack root-key enable root' brings them back"),
        (5, Reason.DELETED, "'keyrack root-key restore root' brings them back, until it is purged"),
        (5, Reason.STATE, "'keyrack root-key restore root' brings them back, until it is purged"),
    ],
)
def test_what_brings_a_root_key_back_follows_from_its_state(state: int, reason: Reason, act: str) -> None:
    (found,) = told(seen=Look(reason=reason, told="it is like this", state=state))

    assert ("root key of one", Level.FAILED, act, str(reason)) == (found.what, found.level, found.act, found.cause)
    assert found.told.startswith("it is like this; no key is handed out")


def test_a_key_manager_of_another_kind_tells_its_own_acts() -> None:
    """And where it has none, what is told of an embedded one is better than nothing."""
    seen = Look(reason=Reason.STATE, told="disabled", state=2)

    assert ["Enable it in the console."] == [each.act for each in told(seen=seen, acts=ELSEWHERE)]
    assert ["disabled; no key is handed out, and none is made. Enable it in the console."] == [
        str(each) for each in told(seen=seen, acts=ELSEWHERE)
    ]
    assert told(seen=replace(seen, reason=Reason.OTHER), acts=ELSEWHERE)[0].act


def test_nothing_is_told_of_an_instance_that_is_well() -> None:
    assert [] == told(validation=validation())
    assert [] == told(seen=None, validation=validation())


def test_read_only_is_a_state_of_its_own() -> None:
    """What the server has found counts, where a fresh look of a command cannot know it; it fails nothing."""
    (found,) = told(validation=validation(reason="read-only", told="it takes nothing new"))

    assert (Level.WARNING, "read-only") == (found.level, found.cause)
    assert "it unwraps and takes nothing new: running machines and reboots are safe, new keys fail" == found.told


def test_what_the_server_has_found_counts_while_it_is_recent() -> None:
    """A look of now that is well outlives an old one that was not; where nobody looks now, the old one is told."""
    recent = validation(reason="permission", told="a role is missing")
    old = replace(recent, at=NOW - FRESH)

    (found,) = told(validation=recent)
    assert "a role is missing (found 1 min ago, and first 1 h ago); no key is handed out" in found.told
    assert [] == told(validation=old)
    assert [Level.FAILED] == [each.level for each in told(seen=None, validation=old)]


def test_standard_keys_that_cannot_be_listed_are_a_warning() -> None:
    """The root key is well: keys are handed out."""
    (found,) = told(validation=validation(reason="permission", told=f"{UNLISTED}: 403"))

    assert (Level.WARNING, "permission") == (found.level, found.cause)
    assert found.told.endswith("each is read by itself before its key is handed out")


def test_an_instance_that_nobody_could_look_at_is_a_warning() -> None:
    (found,) = told(seen=None)

    assert (Level.WARNING, True) == (found.level, "was not opened" in found.told)


def test_an_expired_root_key_hands_keys_out_and_makes_none() -> None:
    (found,) = told(seen=Look(state=3))

    assert (Level.WARNING, True) == (found.level, "change-root-key" in found.act)


def test_a_sealed_instance_is_told() -> None:
    (finding,) = told(replace(INSTANCE, sealed_at=NOW - 7200))

    assert ("keys of one", "sealed for 2 h: no client gets or makes one") == (finding.what, finding.told)
    assert "'keyrack instance unseal one'" in finding.act


def test_withheld_keys_are_told_with_the_way_back() -> None:
    (one,) = told(validation=validation(withheld=1))
    (more,) = told(validation=validation(withheld=12), acts=ELSEWHERE)

    assert (Level.WARNING, "1 key is withheld") == (one.level, one.told.partition(":")[0])
    assert "12 keys are withheld" in more.told
    assert ("/restore" in one.act, "Restore, within 30 days" in more.act) == (True, True)


def test_a_withheld_wrapping_key_fails_the_instance() -> None:
    wrapping_key = WrappingKey(unique_identifier="w", instance=ONE, created_at=1, sealed=b"", withheld_at=NOW)
    (found,) = told(wrapping_key=wrapping_key, validation=validation(withheld=1))

    assert (Level.FAILED, True) == (found.level, found.told.startswith("all are withheld"))


def test_what_is_under_way_is_told() -> None:
    """Keys that move, and keys behind a rotation."""
    moving = told(replace(INSTANCE, former=Home("old", "old-root")), validation=validation(behind=3))

    assert ["they move from old (old-root), and open at both places"] == [each.told for each in moving[:1]]
    assert moving[1].told.startswith("3 keys are wrapped by an older version")
    assert "keyrack root-key rewrap" in moving[1].act


def test_strangers_are_told_where_standard_keys_are_kept() -> None:
    (found,) = told(validation=validation(strangers=2))

    assert (Level.WARNING, True) == (found.level, found.told.startswith("2 standard keys are in embedded"))
    assert "'keyrack verify" in found.act
    assert [] == told(replace(INSTANCE, storage=Storage.CATALOG), validation=validation(strangers=2))


def test_leftovers_are_told_once_they_should_be_gone() -> None:
    def leftover(age: int) -> Leftover:
        return Leftover(
            key_manager="kp", standard_key="s", instance=ONE, unique_identifier="u", why="moved", at=NOW - age
        )

    (found,) = told(leftovers=[leftover(DELETED_WITHIN + 1), leftover(5)], acts=ELSEWHERE)

    assert (Level.WARNING, True) == (found.level, found.told.startswith("1 old standard key is of no use"))
    assert "service role Manager" in found.act
    assert [] == told(leftovers=[leftover(DELETED_WITHIN)])


def test_the_bound_of_a_revocation_is_printed() -> None:
    found = bound("kp", Terms(lease=30, probe_timeout=5, outage_grace=900))

    assert ("lease of kp", Level.OK) == (found.what, found.level)
    assert (
        "revocation counts within 35 s while the key manager answers, within 15 min while it does not, and a seal "
        "within 1 s; a running ESXi host keeps its keys until it restarts"
    ) == found.told


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (35, "35 s"), (60, "1 min"), (90, "90 s"), (900, "15 min"), (3600, "1 h"), (7200, "2 h")],
)
def test_lengths_of_time_are_told_in_their_largest_unit(seconds: int, text: str) -> None:
    assert text == ago(seconds)
