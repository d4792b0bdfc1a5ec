"""What doctor and status find beside root keys: each trouble with its cause and the command that mends it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keyrack.domain.approvals import WINDOW, Approval
from keyrack.domain.instances import (
    ClientCertificate,
    Instance,
    InstanceStatus,
    Quotas,
    SeenCertificate,
    Storage,
    TrustedAuthority,
)
from keyrack.domain.people import ApiKey, Person
from keyrack.domain.rights import Grant, Role
from keyrack.ports.admissions import AdmissionChanges
from keyrack.ports.catalog import Unit
from keyrack.ports.people import PeopleChanges
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.health import certificate_health, journal_health, limits_health, people_health
from keyrack.service.health.findings import Finding, Level
from keyrack.service.health.whole import Terms, whole
from keyrack.service.journal.forwarding import Lag
from keyrack.service.office.keys import Windows
from keyrack.testing.catalogs import catalog_at

NOW = 1_800_000_000
DAY = 86_400
ONE = Instance(
    identifier="11111111-0000-4000-8000-000000000000",
    name="prod",
    status=InstanceStatus.INSTALLED,
    key_manager="embedded",
    root_key="root",
    storage=Storage.CATALOG,
    created_at=NOW - DAY,
)
MARA = Person(
    identifier="p-1", name="mara", password="hash", grants=frozenset({Grant(Role.ADMINISTRATOR)}), created_at=NOW
)


def certificate(days: float) -> ClientCertificate:
    return ClientCertificate(
        fingerprint="ab" * 32,
        instance=ONE.identifier,
        subject="CN=vcenter",
        not_before=0,
        not_after=int(NOW + days * DAY),
        der=b"der",
        added_at=NOW,
    )


def authority(days: float) -> TrustedAuthority:
    return TrustedAuthority(
        fingerprint="cd" * 32,
        instance=ONE.identifier,
        name="vmca",
        subject="CN=VMCA",
        not_before=0,
        not_after=int(NOW + days * DAY),
        der=b"der",
        added_at=NOW,
    )


def seen(seconds_ago: int) -> SeenCertificate:
    return SeenCertificate(
        fingerprint="ef" * 32,
        der=b"der",
        subject="CN=esx-1",
        address="192.0.2.7",
        reason="certificate not trusted",
        first_at=NOW - DAY,
        last_at=NOW - seconds_ago,
        count=3,
    )


def found(findings: Sequence[Finding], what: str) -> Finding:
    (finding,) = [each for each in findings if each.what == what]
    return finding


@pytest.mark.parametrize(
    ("days", "level", "told"),
    [
        (91.5, Level.OK, "1 certificate in force"),
        (90, Level.WARNING, "expires in 90 days"),
        (6.5, Level.WARNING, "expires in 6 days"),
        (-2, Level.WARNING, "it counts all the same"),
    ],
)
def test_clients_certificates_are_told_at_ninety_days_and_how_to_renew_them(
    days: float, level: Level, told: str
) -> None:
    finding = found(list(certificate_health.clients([ONE], [certificate(days)], [], NOW)), "clients of prod")

    assert (finding.level, told in finding.told) == (level, True)
    assert (level is Level.OK) == (not finding.act)
    assert level is Level.OK or "'keyrack cert rotate prod'" in finding.act


def test_an_expired_authority_is_a_failure_because_its_dates_are_enforced() -> None:
    for days, level in ((100, None), (20, Level.WARNING), (-1, Level.FAILED)):
        told = [
            each for each in certificate_health.clients([ONE], [], [authority(days)], NOW) if "authority" in each.what
        ]
        assert ([level] if level else []) == [each.level for each in told]


def test_an_instance_that_nobody_may_enter_is_told_unless_an_authority_lets_somebody_in() -> None:
    assert "add one with" in str(found(list(certificate_health.clients([ONE], [], [], NOW)), "clients of prod"))
    assert (
        Level.OK is found(list(certificate_health.clients([ONE], [], [authority(200)], NOW)), "clients of prod").level
    )


def test_certificates_that_knocked_are_told_with_the_command_that_trusts_them() -> None:
    (finding,) = certificate_health.seen([seen(60)], NOW)

    assert "efefefef CN=esx-1 from 192.0.2.7, 3 times, 1 min ago" in finding.told
    assert "'keyrack cert trust INSTANCE efefefef'" in finding.act
    assert [] == list(certificate_health.seen([seen(8 * DAY)], NOW))


def test_quotas_are_told_from_four_fifths_on() -> None:
    instance = replace(ONE, quotas=Quotas(keys=100, certificates=10))
    assert [] == list(limits_health.quotas(instance, keys=79, certificates=7))
    near, full = limits_health.quotas(instance, keys=80, certificates=10)

    assert (Level.WARNING, Level.FAILED) == (near.level, full.level)
    assert "80 of 100 keys" in near.told
    assert "'keyrack instance quota prod'" in near.act
    assert "--certificates NUMBER" in full.act


def test_without_an_administrator_who_can_log_in_a_link_is_advised() -> None:
    (well,) = people_health.people([MARA], [], {}, NOW)
    (nobody,) = people_health.people([], [], {}, NOW)
    (invited,) = people_health.people([replace(MARA, password="")], [], {}, NOW)
    (only_a_viewer,) = people_health.people([replace(MARA, grants=frozenset({Grant(Role.VIEWER)}))], [], {}, NOW)

    assert Level.OK is well.level
    assert [Level.WARNING] * 3 == [each.level for each in (nobody, invited, only_a_viewer)]
    assert "'keyrack person add NAME --role administrator'" in nobody.act
    assert "'keyrack person invite mara'" in invited.act


def test_who_is_locked_out_and_whose_key_ends_is_told() -> None:
    key = ApiKey(identifier="k", person="p-1", name="backup", digest=b"", created_at=0, expires_at=NOW + 3 * DAY)
    gone = replace(key, name="old", revoked_at=NOW)
    later = replace(key, name="later", expires_at=NOW + 60 * DAY)
    findings = list(people_health.people([MARA], [key, gone, later], {"mara": NOW + 600}, NOW))

    assert "too many wrong passwords; the next one is looked at in 10 min" in found(findings, "log-in of mara").told
    assert "backup of mara expires in 3 d" in found(findings, "API key").told


def test_what_waits_for_a_second_person_is_told_and_warned_of_on_its_last_day() -> None:
    wish = Approval(
        identifier="deadbeef-1",
        act="key.purge",
        instance=ONE.identifier,
        target="key",
        asked_by="person-mara",
        asked_at=NOW,
        expires_at=NOW + WINDOW,
    )
    names = {ONE.identifier: "prod"}
    (early,) = people_health.approvals([wish], names, NOW)
    (late,) = people_health.approvals([wish], names, NOW + WINDOW - 600)

    assert (Level.OK, Level.WARNING) == (early.level, late.level)
    assert "key.purge in prod, asked for by person-mara" in early.told
    assert "'keyrack approval agree deadbeef'" in early.act
    assert [] == list(people_health.approvals([wish], names, NOW + WINDOW))
    assert [] == list(people_health.approvals([replace(wish, agreed_at=NOW)], names, NOW))


def test_a_catalog_that_was_put_back_is_a_failure() -> None:
    (finding,) = journal_health.rolled_back("the last checkpoint that was exported is 9, the catalog's is 7")

    assert Level.FAILED is finding.level
    assert "'keyrack backup agree'" in finding.act


def test_a_checkpoint_is_overdue_only_where_there_is_something_to_sign() -> None:
    at = (NOW - 3600) * 1000
    idle = journal_health.checkpoint(journal_health.Signed(end=5, at=at, through=5), 60, NOW)
    late = journal_health.checkpoint(journal_health.Signed(end=7, at=at, through=5), 60, NOW)
    never = journal_health.checkpoint(journal_health.Signed(end=7, at=None, through=0), 60, NOW)

    assert [Level.OK, Level.WARNING, Level.WARNING] == [each.level for each in (idle, late, never)]
    assert "2 records since then could be cut off" in late.told
    assert "keyrack serve" in late.act


def lag(**fields: Any) -> Lag:
    usual = {"name": "siem", "required": False, "behind": 0, "seconds": 0.0, "taken_at": 0, "trouble": "", "since": 0}
    return Lag(**{**usual, **fields})


def test_a_sink_is_told_when_it_is_behind_and_fails_where_it_is_required() -> None:
    lags = [
        lag(),
        lag(name="slow", behind=9, seconds=100.0),
        lag(name="stuck", behind=2, seconds=5.0, trouble="connection refused", since=(NOW - 120) * 1000),
        lag(name="must", behind=2, seconds=5.0, required=True, trouble="disk full"),
    ]
    well, slow, stuck, must = journal_health.sinks(lags, {"slow": 60}, NOW)

    levels = [each.level for each in (well, slow, stuck, must)]
    assert [Level.OK, Level.WARNING, Level.WARNING, Level.FAILED] == levels
    assert "for 2 min: connection refused" in stuck.told
    assert "no key handed out" in must.told


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[WholeCatalog]:
    opened = await catalog_at(tmp_path / "catalog.db", "tests")
    yield opened
    await opened.close()


async def test_everything_is_read_from_the_catalog(catalog: WholeCatalog) -> None:
    crowded = replace(ONE, quotas=Quotas(certificates=2))
    await catalog.commit(
        Unit(
            entries=(),
            instances=(crowded,),
            certificates=(certificate(20),),
            admissions=AdmissionChanges(authorities=(authority(20),), seen=(seen(5),)),
            people=PeopleChanges(persons=(MARA,)),
        )
    )

    findings = await whole(catalog, Terms(windows=Windows(), sinks={"siem": False}), NOW)
    told = {each.what: each.level for each in findings}

    assert Level.WARNING is told["clients of prod"]
    assert Level.WARNING is told["authority of prod"]
    assert Level.WARNING is told["seen, not trusted"]
    assert Level.FAILED is told["quota of prod"]
    assert Level.OK is told["people"]
    assert Level.OK is told["sink siem"]
    assert {"journal", "journal: checkpoint"} <= told.keys()
    without = await whole(catalog, Terms(windows=Windows(), administered=False), NOW)
    assert "people" not in {each.what for each in without}


async def test_each_finding_that_is_not_well_says_what_to_do(catalog: WholeCatalog) -> None:
    await catalog.commit(Unit(entries=(), instances=(ONE,), admissions=AdmissionChanges(seen=(seen(5),))))
    await asyncio.sleep(0)

    for each in await whole(catalog, Terms(windows=Windows(), missing="checkpoint 4"), NOW):
        assert each.level is Level.OK or each.act, each
