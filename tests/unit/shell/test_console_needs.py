"""What the overview asks of somebody: each kind of trouble, how grave it is, and that it is said in words."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from keyrack.domain.approvals import Approval
from keyrack.domain.instances import Home, Instance, InstanceStatus, Quotas, SeenCertificate
from keyrack.ports.back_office import Trial, WorkerHealth
from keyrack.ports.catalog import Validation
from keyrack.ports.cluster import Node, Report, Rollback
from keyrack.ports.key_affairs import Holding
from keyrack.service.health.journal_health import Signed
from keyrack.service.journal.forwarding import Lag
from keyrack.shell.config.whole import Config, load
from keyrack.shell.console import showing
from keyrack.shell.console.rooms.overview import needs as judged
from keyrack.shell.console.rooms.overview.seen import InstanceSeen, Lapse, Seen, ServerSeen
from keyrack.shell.console.words import LANGUAGES, words_of
from keyrack.shell.rest.v1.readiness import Readiness
from keyrack.testing.catalog_values import ONE, instance

NOW: Final = 1_800_000_000
CONFIGURATION: Final = """
[deployment]
id = "rest"
directory = "{0}"
[key_managers.embedded]
type = "embedded"
keystore = "keystore"
unlock = {{ key_file = "keystore.key" }}
[api]
enabled = true
[backup]
directory = "backups"
every_hours = 24
prove_daily = true
[journal.sinks.archive]
type = "json_lines"
file = "archive.jsonl"
"""
DAY: Final = 86_400


def configured(directory: Path) -> Config:
    """A deployment with backups, proofs and a sink."""
    (directory / "keyrack.toml").write_text(CONFIGURATION.format(directory))
    return load(directory / "keyrack.toml")


def a_worker(**fields: Any) -> WorkerHealth:
    """A serving process that does its work."""
    return WorkerHealth(**{"worker": 0, "listening": True, "committing": True, "at": NOW, **fields})


def a_trial(told: str = "", at: int = NOW) -> Trial:
    """An unwrap with the root key of the first instance."""
    return Trial(key_manager="embedded", root_key="root", at=at, milliseconds=1.5, told=told)


def _well(**fields: Any) -> Seen:
    """A deployment with one instance in which all is well."""
    its = InstanceSeen(instance=instance(), held=Holding(keys=3, certificates=1), trials=(a_trial(),))
    server = ServerSeen(
        readiness=Readiness((a_worker(),), (), NOW),
        reports={
            "backup": Report(kind="backup", at=NOW - 60, good=True, told="there"),
            "proof": Report(kind="proof", at=NOW - 60, good=True, told="all open"),
        },
    )
    return Seen(**{"at": NOW, "instances": (its,), "lapses": (), "bounds": (), "server": server, **fields})


def _with_server(**fields: Any) -> Seen:
    seen = _well()
    assert seen.server is not None
    return replace(seen, server=replace(seen.server, **fields))


def _with_instance(**fields: Any) -> Seen:
    seen = _well()
    return replace(seen, instances=(replace(seen.instances[0], **fields),))


def _found(reason: str = "", told: str = "", **fields: Any) -> Validation:
    return Validation(**{"instance": ONE, "at": NOW - 5, "since": NOW - 900, "reason": reason, "told": told, **fields})


def _instance(**fields: Any) -> Instance:
    return replace(instance(), **fields)


def _lapse(kind: str, days: int) -> Lapse:
    owner = None if kind == "server" else instance()
    return Lapse(kind=kind, name="vc", not_after=NOW + days * DAY, days=days, instance=owner, link=f"/{kind}")


NODE: Final = Node(name="n2", token="t", version="1", schema=1, address="", started_at=NOW - 900, seen_at=NOW - 60)
APPROVAL: Final = Approval(
    identifier="a" * 32,
    act="key.purge",
    instance=ONE,
    target="k",
    asked_by="person-adam",
    asked_at=NOW - 9,
    expires_at=NOW + DAY,
)
STRANGER: Final = SeenCertificate(
    fingerprint="b" * 64,
    subject="CN=<vc>",
    address="192.0.2.9",
    reason="nobody trusts it",
    der=b"",
    first_at=NOW - 50,
    last_at=NOW - 5,
    count=2,
)
SINK: Final = Lag(name="archive", required=True, behind=4, seconds=9, taken_at=0, trouble="its disk is full", since=0)
CASES: Final[Sequence[tuple[str, str, Seen]]] = (
    ("slow", "bad", _with_server(readiness=None, waiting=4.0)),
    ("nobody", "bad", _with_server(readiness=Readiness((), ("no serving process is there",), NOW))),
    ("nobody", "bad", _with_server(readiness=Readiness((a_worker(at=0, listening=False),), ("x",), NOW))),
    ("silent", "warn", _with_server(readiness=Readiness((a_worker(), a_worker(worker=1, at=0)), (), NOW))),
    ("deaf", "warn", _with_server(readiness=Readiness((a_worker(listening=False),), ("x",), NOW))),
    ("uncommitted", "bad", _with_server(readiness=Readiness((a_worker(committing=False),), ("x",), NOW))),
    ("node", "bad", _with_server(nodes=(NODE,))),
    ("versions", "warn", _with_server(nodes=(replace(NODE, seen_at=NOW), replace(NODE, seen_at=NOW, version="2")))),
    ("rolled_back", "bad", _with_server(rollback=Rollback(at=NOW, why="it was put back"))),
    (
        "backup_failed",
        "bad",
        _with_server(reports={"backup": Report(kind="backup", at=NOW, good=False, told="the disk is full")}),
    ),
    ("backup_late", "warn", _with_server(reports={})),
    (
        "backup_late",
        "warn",
        _with_server(reports={"backup": Report(kind="backup", at=NOW - 9 * DAY, good=True, told="there")}),
    ),
    (
        "proof_failed",
        "bad",
        _with_server(
            reports={
                "backup": Report(kind="backup", at=NOW, good=True, told="there"),
                "proof": Report(kind="proof", at=NOW, good=False, told="one key does not open"),
            }
        ),
    ),
    ("proof_late", "warn", _with_server(reports={})),
    ("checkpoint", "warn", _with_server(checkpoint=Signed(end=9, at=(NOW - 900) * 1000, through=3))),
    ("checkpoint", "warn", _with_server(checkpoint=Signed(end=9, at=None, through=0))),
    ("sink", "bad", _with_server(sinks=(SINK,))),
    ("sealed", "warn", _with_instance(instance=_instance(sealed_at=NOW - 90))),
    ("moving", "warn", _with_instance(instance=_instance(former=Home("embedded", "old")))),
    ("not_installed", "warn", _with_instance(instance=_instance(status=InstanceStatus.INACTIVE, reason="by mara"))),
    ("nobody_let_in", "warn", _with_instance(held=Holding(keys=3))),
    ("root_key", "bad", _with_instance(trials=(a_trial("it is disabled"), a_trial()))),
    ("root_key", "bad", _with_instance(trials=(), validation=_found("state", "it is disabled"))),
    ("read_only", "warn", _with_instance(trials=(), validation=_found("read-only", "the disk is full"))),
    ("root_key_expired", "warn", _with_instance(validation=_found(root_key_state=3))),
    ("all_withheld", "bad", _with_instance(all_withheld=True)),
    ("withheld", "warn", _with_instance(validation=_found(withheld=2))),
    ("quota", "bad", _with_instance(instance=_instance(quotas=Quotas(keys=3)))),
    ("quota", "warn", _with_instance(instance=_instance(quotas=Quotas(keys=5)), held=Holding(keys=4, certificates=1))),
    ("server_lapses", "warn", _well(lapses=(_lapse("server", 90),))),
    ("server_lapses", "bad", _well(lapses=(_lapse("server", -1),))),
    ("client_lapses", "warn", _well(lapses=(_lapse("client", 30), _lapse("client", 80)))),
    ("client_lapses", "bad", _well(lapses=(_lapse("client", 7),))),
    ("authority_lapses", "bad", _well(lapses=(_lapse("authority", -3),))),
    ("approval", "warn", _well(approvals=(APPROVAL,))),
    ("knocked", "warn", _well(knocked=(STRANGER,))),
)


def test_where_all_is_well_nothing_is_asked_of_anybody(tmp_path: Path) -> None:
    config = configured(tmp_path)
    assert judged.verdict(_well(), config) == judged.Verdict("good", ())
    assert judged.verdict(_well(lapses=(_lapse("client", 91),)), config).kind == "good"
    assert judged.verdict(_well(server=None), config).kind == "good"
    assert judged.verdict(_with_server(readiness=None), config) == judged.Verdict("", (), looking=True)


@pytest.mark.parametrize(("kind", "level", "seen"), CASES, ids=[f"{each[0]}-{at}" for at, each in enumerate(CASES)])
def test_what_is_not_well_is_asked_of_somebody(kind: str, level: str, seen: Seen, tmp_path: Path) -> None:
    verdict = judged.verdict(seen, configured(tmp_path))
    found = {each.kind: each.level for each in verdict.needs}
    assert found.get(kind) == level
    assert verdict.kind in {level, "bad"}
    for tag in LANGUAGES:
        for need in verdict.needs:
            said = _said(need, tag)
            assert f'href="{need.link}"' in said
            assert len(re.sub("<[^>]*>", "", said)) > 20
            assert "<vc>" not in said


def _said(need: judged.Need, tag: str) -> str:
    template = '{% import "overview/needs.html" as needs with context %}{{ needs[need.kind](need) }}'
    return showing._environment().from_string(template).render(need=need, words=words_of(tag), now=NOW)


def test_each_kind_has_its_words_and_each_words_a_kind() -> None:
    """A kind without words would fail where it is shown; words without a kind are seen by nobody."""
    text = (showing.TEMPLATES / "overview" / "needs.html").read_text(encoding="utf-8")
    said = {each for each in re.findall(r"{% macro (\w+)\(", text) if not each.startswith("_")}
    assert said == {kind for kind, _, _ in CASES}


def test_a_root_key_that_unwraps_now_is_believed_more_than_what_was_found_before(tmp_path: Path) -> None:
    before = _with_instance(validation=_found("state", "it is disabled"))
    assert judged.verdict(before, configured(tmp_path)).kind == "good"
    later = _with_instance(validation=_found("state", "it is disabled", at=NOW + 5))
    assert judged.verdict(later, configured(tmp_path)).kind == "bad"
