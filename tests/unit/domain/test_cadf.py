"""Records as events: every act has its row, the fields are those that are documented, and nothing breaks a line."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import keyrack
import keyrack.operations  # noqa: F401 - enters the verbs into the registry
from keyrack.domain import cadf
from keyrack.domain.cadf import Names, Place
from keyrack.domain.cadf_actions import ACTS, OPERATIONS, UNLISTED, UNROUTED, act_of
from keyrack.domain.journal import Entry, read
from keyrack.domain.journal_chain import canonical
from keyrack.domain.rights import Right
from keyrack.embedded.iam.rights import Right as OfKeyManager
from keyrack.operations._registry import OPERATIONS as BUILT
from keyrack.ports.key_manager import Reason
from keyrack.spec.enumerations import Operation, ResultReason

SOURCE = Path(keyrack.__file__).parent
ACTION = re.compile(r"[a-z][a-z-]*(\.[a-z][a-z-]*)+")
FILES = (
    ".db", ".key", ".pem", ".toml", ".json", ".jsonl", ".log", ".lock", ".address", ".csv", ".sock", ".revision",
    ".new", ".txt", ".html", ".css", ".js", ".svg", ".po", ".zip", ".p12", ".db-wal",
)  # fmt: skip
NO_ACTIONS = {
    "api.address", "catalog.password", "catalog.url",
    "iam.url", "deployment.directory", "deployment.id", "deployment.node", "fuse.ceph",
    "fuse.glusterfs", "fuse.sshfs", "http.disconnect", "http.response.body", "http.response.start",
    "integrity.credential", "key.version", "keyrack.adapters.catalogs.postgres", "keyrack.adapters.catalogs.sqlite",
    "keyrack.instance", "keyrack.operation", "keyrack.outcome", "keyrack.shell.web", "keyrack.web", "node.token",
    "object.instance", "service.instance.id", "service.name", "service.namespace", "tracing.enabled",
    "vmware-solutions.kmip-journal.checkpoint",
}  # fmt: skip
"""What looks like an action in the source, and is a setting, a module, an attribute of a trace."""
PLACE = Place("kmip-0", 7, b"\x01" * 32, 9)
FINGERPRINT = "ab" * 32
NAMES = Names(
    deployment="keyrack-1",
    instances={"i-1": "berlin"},
    key_managers={"i-1": "embedded"},
    certificates={FINGERPRINT: "vcenter-1"},
)


def an_entry(**fields: Any) -> Entry:
    """A Get of a vCenter, but for ``fields``."""
    given: dict[str, Any] = {
        "at": 1_767_323_045_678,
        "action": "Get",
        "outcome": "success",
        "initiator": f"CertificateID-{FINGERPRINT}",
        "address": "192.0.2.7:40122",
        "instance": "i-1",
        "target": "k-1",
        "detail": {"kmip": "1.1", "tls": "TLSv1.2", "correlation": "c-1", "session": "s-1", "suite": "AES"},
    }
    return Entry(**given | fields)


def _said(path: Path) -> Iterator[str]:
    """Every constant of a module that looks like an action."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and ACTION.fullmatch(node.value):
            yield node.value


def test_every_operation_has_a_row() -> None:
    """Those that are built, and those that are only refused: both are written down by their titles."""
    assert {Operation(number).title for number in BUILT} <= set(OPERATIONS)
    assert {each.title for each in Operation} == set(OPERATIONS)


def test_every_act_that_the_program_writes_has_a_row() -> None:
    """Whatever looks like an action anywhere in the source is in the table, or known to be something else."""
    rights = {each.title for each in Right}
    missing = {
        said: path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if "testing" not in path.parts and not path.name.startswith("cadf")
        for said in _said(path)
        if not (said in ACTS or said in NO_ACTIONS or said in rights or said.endswith(FILES))
    }
    assert missing == {}
    assert {each.value for each in OfKeyManager} <= set(ACTS)


def test_every_reason_has_a_code() -> None:
    """What KMIP refuses with, and what key managers do, is told as HTTP would say it."""
    assert {each.title for each in ResultReason} <= set(cadf.REASONS)
    assert {str(each) for each in Reason} <= set(cadf.REASONS)


def test_a_read_is_told_with_all_its_fields() -> None:
    """As documented, the names of what is known with it, and the place that proves it."""
    assert cadf.event(an_entry(), PLACE, NAMES) == {
        "eventTime": "2026-01-02T03:04:05.678Z",
        "action": "vmware-solutions.kmip-key.read",
        "outcome": "success",
        "severity": "normal",
        "message": "Keyrack: read key",
        "correlationId": "c-1",
        "saveServiceCopy": True,
        "dataEvent": True,
        "initiator": {
            "id": f"CertificateID-{FINGERPRINT}",
            "name": "vcenter-1",
            "typeURI": "service/security/account/user",
            "host": {"agent": "KMIP", "address": "192.0.2.7", "port": 40122},
            "credential": {"type": "certificate"},
        },
        "target": {"id": "k-1", "name": "", "typeURI": "kms/secrets", "host": {"address": "embedded"}},
        "observer": {"name": "Keyrack", "id": "keyrack-1"},
        "reason": {"reasonCode": 200, "reasonType": "OK"},
        "requestData": {
            "instanceID": "i-1",
            "instanceName": "berlin",
            "keyManager": "embedded",
            "kmipVersion": "1.1",
            "tlsVersion": "TLSv1.2",
            "session": "s-1",
            "tlsSuite": "AES",
        },
        "responseData": {"keyId": "k-1"},
        "journal": {"chain": "kmip-0", "sequence": 7, "number": 9, "hash": "01" * 32, "action": "Get"},
    }


@pytest.mark.parametrize(
    ("action", "outcome", "detail", "told"),
    [
        ("Get", "success", {}, ("normal", 200, "success")),
        ("Destroy", "success", {}, ("critical", 200, "success")),
        ("Get", "Item Not Found", {}, ("normal", 404, "failure")),
        ("Get", "Permission Denied", {}, ("critical", 403, "failure")),
        ("Get", "General Failure", {}, ("critical", 503, "failure")),
        ("Destroy", "Illegal Operation", {}, ("warning", 409, "failure")),
        ("Create", "undone", {}, ("warning", 424, "failure")),
        ("kms.secrets.unwrap", "UNAUTHORIZED_ERR", {"status": 403}, ("critical", 403, "failure")),
        ("standard-key.reconcile", "completed", {}, ("normal", 200, "success")),
    ],
)
def test_a_failures_code_decides_how_grave_it_is(action: str, outcome: str, detail: dict[str, Any], told: Any) -> None:
    """Key Protect's rule: 401, 403, 503 are critical, 400, 409, 424 a warning, else the act's own weight counts."""
    event = cadf.event(an_entry(action=action, outcome=outcome, detail=detail), PLACE)

    assert told == (event["severity"], event["reason"]["reasonCode"], event["outcome"])


def test_what_has_no_row_is_told_as_such() -> None:
    """An operation of no version, and an act of a newer Keyrack: neither looks like another."""
    assert act_of("0x000000FE").event == UNROUTED
    event = cadf.event(an_entry(action="moon.landing"), PLACE)
    assert (event["action"], event["severity"]) == (UNLISTED, "warning")
    assert "moon.landing" in event["message"]


def test_no_name_breaks_a_line() -> None:
    """Control characters, line ends of every kind and characters that turn writing round are written out."""
    spoilt = 'a\n{"action":"forged"}\r\x00\x1b[2J\u2028\u202e\ud800'
    entry = an_entry(target=spoilt, initiator=spoilt, address=spoilt, detail={"name": spoilt, "correlation": spoilt})

    line = cadf.line(cadf.event(entry, PLACE, NAMES))

    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["target"]["id"] == spoilt


def test_an_entry_is_read_as_it_was_written() -> None:
    """Both ways."""
    assert read(canonical(an_entry())) == an_entry()
    for text in ("{}", "[]", "no", '{"at":1}', canonical(an_entry()).replace('"k-1"', "7")):
        with pytest.raises(ValueError, match=r"entry|Expecting|detail"):
            read(text)


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("192.0.2.7:1", {"address": "192.0.2.7", "port": 1}),
        ("[2001:db8::1]:443", {"address": "2001:db8::1", "port": 443}),
        ("local", {"address": "local"}),
        ("2001:db8::1", {"address": "2001:db8::1"}),
        ("", {}),
    ],
)
def test_an_address_is_told_as_host_and_port(address: str, host: dict[str, Any]) -> None:
    """Whatever kind it is of."""
    event = cadf.event(an_entry(address=address), PLACE)

    assert host == {name: value for name, value in event["initiator"]["host"].items() if name != "agent"}
