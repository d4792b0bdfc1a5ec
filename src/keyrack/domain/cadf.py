"""A record of the journal as the event that Activity Tracker's readers know: CADF's fields, IBM's names.

Pure: the record, its place in its chain, and the names that are known of what it speaks of. Nothing is added that the
record does not hold, so that an event can always be made anew from the record that the chain proves.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from keyrack.domain.cadf_actions import UNLISTED, Severity, act_of
from keyrack.domain.journal import Entry

CERTIFICATE: Final = "CertificateID-"
GOOD: Final = frozenset({"success", "completed", "ended"})
"""Outcomes of an act that did what it was to do."""

_OK: Final = (200, "OK")
REASONS: Final[Mapping[str, tuple[int, str]]] = {
    "Item Not Found": (404, "Not Found"),
    "Response Too Large": (413, "Content Too Large"),
    "Authentication Not Successful": (401, "Unauthorized"),
    "Invalid Message": (400, "Bad Request"),
    "Operation Not Supported": (501, "Not Implemented"),
    "Missing Data": (400, "Bad Request"),
    "Invalid Field": (400, "Bad Request"),
    "Feature Not Supported": (501, "Not Implemented"),
    "Operation Canceled By Requester": (499, "Client Closed Request"),
    "Cryptographic Failure": (424, "Failed Dependency"),
    "Illegal Operation": (409, "Conflict"),
    "Permission Denied": (403, "Forbidden"),
    "Object archived": (409, "Conflict"),
    "Index Out of Bounds": (400, "Bad Request"),
    "Application Namespace Not Supported": (400, "Bad Request"),
    "Key Format Type Not Supported": (400, "Bad Request"),
    "Key Compression Type Not Supported": (400, "Bad Request"),
    "Encoding Option Error": (400, "Bad Request"),
    "Key Value Not Present": (404, "Not Found"),
    "Attestation Required": (401, "Unauthorized"),
    "Attestation Failed": (401, "Unauthorized"),
    "Sensitive": (403, "Forbidden"),
    "Not Extractable": (403, "Forbidden"),
    "Object Already Exists": (409, "Conflict"),
    "General Failure": (503, "Service Unavailable"),
    "undone": (424, "Failed Dependency"),
    "identity": (401, "Unauthorized"),
    "permission": (403, "Forbidden"),
    "network": (403, "Forbidden"),
    "policy": (403, "Forbidden"),
    "absent": (404, "Not Found"),
    "deleted": (410, "Gone"),
    "state": (409, "Conflict"),
    "ciphertext": (424, "Failed Dependency"),
    "request": (400, "Bad Request"),
    "unreachable": (504, "Gateway Timeout"),
    "trust": (502, "Bad Gateway"),
    "overloaded": (503, "Service Unavailable"),
    "failing": (502, "Bad Gateway"),
    "read-only": (403, "Forbidden"),
    "other": (502, "Bad Gateway"),
    "forbidden": (403, "Forbidden"),
    "refused": (400, "Bad Request"),
    "unauthenticated": (401, "Unauthorized"),
    "flawed": (409, "Conflict"),
}
"""Outcomes that are failures: a Result Reason's title, a key manager's reason, or the word of an administrative act; as
HTTP would say it."""
_OTHERWISE: Final = (400, "Bad Request")

_GRAVE: Final[Mapping[int, Severity]] = {
    **dict.fromkeys((401, 403, 503, 507), Severity.CRITICAL),
    **dict.fromkeys((400, 409, 424, 502, 504, 505), Severity.WARNING),
}
"""What a failure's code makes of an event, whatever the act weighs (Key Protect's rule)."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands in the journal: what it is known by, and what proves it."""

    chain: str
    sequence: int
    hash: bytes
    number: int = 0
    """The place over all chains."""


@dataclass(frozen=True, slots=True)
class Names:
    """What the identifiers in records are called; whatever is not known is left out."""

    deployment: str = ""
    instances: Mapping[str, str] = field(default_factory=dict)
    key_managers: Mapping[str, str] = field(default_factory=dict)
    """By instance."""
    certificates: Mapping[str, str] = field(default_factory=dict)
    """By fingerprint."""


def event(entry: Entry, place: Place, names: Names | None = None) -> dict[str, Any]:
    """The event of one record, with its own fields in the order in which they are usually read."""
    known = names or Names()
    act = act_of(entry.action)
    code, kind = _reason(entry)
    good = code < 400
    detail = dict(entry.detail)
    correlation = detail.pop("correlation", "")
    told = {
        "eventTime": instant(entry.at),
        "action": act.event,
        "outcome": "success" if good else "failure",
        "severity": str(act.severity if good else _GRAVE.get(code, act.severity)),
        "message": f"Keyrack: {act.told}{'' if good else ' -failure'}",
        "correlationId": str(correlation),
        "saveServiceCopy": True,
        "dataEvent": act.data,
        "initiator": _initiator(entry, known),
        "target": _target(entry, act.target, known),
        "observer": {"name": "Keyrack", "id": known.deployment},
        "reason": {"reasonCode": code, "reasonType": kind},
        "requestData": _request(entry, detail, known),
        "responseData": _response(entry, detail, good),
        "journal": {
            "chain": place.chain,
            "sequence": place.sequence,
            "number": place.number,
            "hash": place.hash.hex(),
            "action": entry.action,
        },
    }
    if act.event == UNLISTED:
        told["message"] = f"Keyrack: an act that this version has no row for: {entry.action}"
    return told


def line(told: Mapping[str, Any]) -> str:
    """An event as one line of JSON in ASCII: whatever a client has called something, it cannot begin another line."""
    return json.dumps(told, separators=(",", ":"), ensure_ascii=True)


def instant(milliseconds: int) -> str:
    """A time as events have it: ``2026-01-02T03:04:05.678Z``; what no calendar has, as its number."""
    try:
        seconds, rest = divmod(milliseconds, 1000)
        return f"{datetime.fromtimestamp(seconds, UTC).strftime('%Y-%m-%dT%H:%M:%S')}.{rest:03d}Z"
    except (OverflowError, ValueError, OSError):
        return str(milliseconds)


def _reason(entry: Entry) -> tuple[int, str]:
    if entry.outcome in GOOD:
        return _OK
    status = entry.detail.get("status")
    if isinstance(status, int) and 400 <= status < 600:
        return status, entry.outcome  # The embedded key manager's refusals tell their status themselves.
    return REASONS.get(entry.outcome, _OTHERWISE)


_CREDENTIALS: Final = (
    (CERTIFICATE, "certificate", "KMIP"),
    ("local-user-", "user", "keyrack"),
    ("person-", "user", "REST"),
    ("iam-", "token", "Key Protect"),
)
"""By what an initiator begins with: how it has proved itself, and through which door it came."""


def _initiator(entry: Entry, known: Names) -> dict[str, Any]:
    who = entry.initiator
    kind, agent = next(((kind, agent) for begin, kind, agent in _CREDENTIALS if who.startswith(begin)), ("", "keyrack"))
    if "api_key" in entry.detail:
        kind = "apikey"
    name = known.certificates.get(who.removeprefix(CERTIFICATE), "") if who.startswith(CERTIFICATE) else ""
    host: dict[str, Any] = {"agent": agent}
    address, port = _split(entry.address)
    if address:
        host["address"] = address
    if port:
        host["port"] = port
    made: dict[str, Any] = {"id": who, "name": name or who, "typeURI": "service/security/account/user", "host": host}
    if kind:
        made["credential"] = {"type": kind}
    return made


def _split(address: str) -> tuple[str, int]:
    """Host and port of an address as the journal has it; ``"local"`` has no port."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or (":" in host and not host.startswith("[")):
        return address, 0
    return host.strip("[]"), int(port)


def _target(entry: Entry, kind: str, known: Names) -> dict[str, Any]:
    name = entry.detail.get("name")
    if not isinstance(name, str) or not name:
        name = known.instances.get(entry.target) or known.certificates.get(entry.target) or ""
    made = {"id": entry.target or entry.instance, "name": name, "typeURI": kind}
    manager = known.key_managers.get(entry.instance)
    return {**made, "host": {"address": manager}} if manager else made


_OF_TLS: Final = {"kmip": "kmipVersion", "tls": "tlsVersion", "suite": "tlsSuite", "session": "session"}
"""What a record says of a request's way in, and what it is called in ``requestData``."""
_OF_ANSWER: Final = frozenset({"cause", "status", "reason"})


def _request(entry: Entry, detail: Mapping[str, str | int], known: Names) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if entry.instance:
        made["instanceID"] = entry.instance
        if name := known.instances.get(entry.instance):
            made["instanceName"] = name
        if manager := known.key_managers.get(entry.instance):
            made["keyManager"] = manager
    for name, value in detail.items():
        if name not in _OF_ANSWER:
            made[_OF_TLS.get(name, name)] = value
    return made


def _response(entry: Entry, detail: Mapping[str, str | int], good: bool) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if entry.target:
        made["keyId" if act_of(entry.action).target == "kms/secrets" else "resourceId"] = entry.target
    if not good:
        made["reasonForFailure"] = entry.outcome
    elif entry.outcome != "success":
        made["outcome"] = entry.outcome
    if "cause" in detail:
        made["cause"] = detail["cause"]
    return made
