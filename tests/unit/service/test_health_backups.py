"""What health tells of backups, proofs and rollback mode: when it was last done, how it went, and when to worry."""

from keyrack.ports.cluster import BACKUP, PROOF, Report, Rollback
from keyrack.service.health.backup_health import backups, rollback
from keyrack.service.health.findings import Finding, Level

NOW = 1_800_000_000
HOUR = 3600


def found(*reports: Report, oldest: float = 0, oldest_proof: float = 0) -> dict[str, Finding]:
    by_kind = {each.kind: each for each in reports}
    return {each.what: each for each in backups(by_kind, NOW, oldest=oldest, oldest_proof=oldest_proof)}


def made(hours: float, kind: str = BACKUP, *, good: bool = True) -> Report:
    return Report(kind=kind, at=NOW - int(hours * HOUR), good=good, told="/backups/x.backup", keys=7)


def test_who_wants_none_is_told_of_none_and_not_alarmed() -> None:
    told = found()

    assert {each.level for each in told.values()} == {Level.OK}
    assert "'keyrack backup create'" in told["backup"].told


def test_what_is_wanted_and_never_was_is_a_warning() -> None:
    told = found(oldest=HOUR, oldest_proof=HOUR)

    assert {each.level for each in told.values()} == {Level.WARNING}


def test_the_last_one_is_told_with_its_age_and_an_old_one_is_a_warning() -> None:
    fresh, old = found(made(3), oldest=4 * HOUR)["backup"], found(made(5), oldest=4 * HOUR)["backup"]

    assert (fresh.level, old.level) == (Level.OK, Level.WARNING)
    assert "made 3 h ago: /backups/x.backup (7 keys)" in fresh.told
    assert "longer ago than 4 h" in old.told


def test_one_that_failed_is_a_failure_however_young() -> None:
    told = found(made(0.1, good=False), made(0.1, PROOF, good=False))

    assert {each.level for each in told.values()} == {Level.FAILED}
    assert "'keyrack recover prove'" in told["recovery"].act


def test_rollback_mode_is_a_failure_that_names_the_command_which_ends_it() -> None:
    (told,) = rollback(Rollback(at=NOW, why="restored from x.backup"))

    assert told.level is Level.FAILED
    assert "keyrack backup agree" in told.act
    assert "restored from x.backup" in told.told
    assert list(rollback(None)) == []
