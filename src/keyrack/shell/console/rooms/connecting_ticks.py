"""What the page "Connect a vCenter" ticks off while a client connects, and what it says where nothing comes."""

import re
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from keyrack.domain.instances import SeenCertificate
from keyrack.service.office.connecting import Event, Progress

MOST: Final = 64
"""Pages that are followed at one time; an older one begins anew."""
QUIET: Final = 45
"""Seconds without any connection after which the page says where to look."""


class Step(StrEnum):
    """In the order in which a vCenter comes to them."""

    CAME = "came"
    KNOWN = "known"
    ASKED = "asked"
    MADE = "made"
    FETCHED = "fetched"


class State(StrEnum):
    """How a step stands."""

    DONE = "done"
    WAITS = "waits"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """One line of the list."""

    step: Step
    state: State
    event: Event | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What the listeners of this node have counted since they began."""

    accepted: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    """By reason, as OpenSSL or the listener says it."""

    def since(self, before: "Counted") -> "Counted":
        """What came since; a process that began anew meanwhile counts from nothing."""
        refused = {why: number - before.refused.get(why, 0) for why, number in self.refused.items()}
        return Counted(
            accepted=max(0, self.accepted - before.accepted),
            refused={why: number for why, number in refused.items() if number > 0},
        )


def ticks_of(progress: Progress, knocked: Sequence[SeenCertificate], came: int, *, trusted: int) -> Sequence[Tick]:
    """The list; ``came``: connections since the look began; ``trusted``: certificates and authorities of the
    instance."""
    first = progress.first
    address = first.address if first else knocked[0].address if knocked else ""
    arrived = Event(action="", at=0, address=address, fingerprint="", target="") if address else None
    known = State.DONE if first else State.TROUBLE if knocked or (came and not trusted) else State.WAITS
    return (
        Tick(step=Step.CAME, state=State.DONE if came or arrived else State.WAITS, event=arrived),
        Tick(step=Step.KNOWN, state=known, event=first),
        _tick(Step.ASKED, progress.asked),
        _tick(Step.MADE, progress.made),
        _tick(Step.FETCHED, progress.fetched),
    )


def _tick(step: Step, event: Event | None) -> Tick:
    return Tick(step=step, state=State.DONE if event else State.WAITS, event=event)


class Refusal(StrEnum):
    """Why a handshake came to nothing, as a page explains it."""

    NO_CERTIFICATE = "no-certificate"
    VERSION = "version"
    SUITES = "suites"
    TURNED_AWAY = "turned-away"
    NOT_TRUSTED = "not-trusted"
    NO_TLS = "no-tls"
    EXPIRED = "expired"
    OTHER = "other"


_TOLD: Final = (
    (Refusal.NO_CERTIFICATE, ("no certificate", "peer did not return a certificate")),
    (Refusal.VERSION, ("unsupported protocol", "version too low", "wrong version number", "inappropriate fallback")),
    (Refusal.SUITES, ("no shared cipher", "no suitable", "no shared group", "dh key too small")),
    (
        Refusal.TURNED_AWAY,
        ("alert unknown ca", "alert certificate unknown", "alert bad certificate", "alert certificate expired"),
    ),
    (Refusal.EXPIRED, ("expired", "not yet valid")),
    (Refusal.NOT_TRUSTED, ("not trusted", "nobody that is trusted", "certificate verify failed")),
    (Refusal.NO_TLS, ("http request", "unknown protocol", "packet length", "unexpected eof", "unknown format")),
)
"""What a reason has in it, and what that means."""


def explained(refused: Mapping[str, int]) -> Mapping[Refusal, int]:
    """How many handshakes were refused for which reason that the page can explain."""
    found: Counter[Refusal] = Counter()
    for why, number in refused.items():
        lowered = why.lower()
        kind = next((kind for kind, marks in _TOLD if any(mark in lowered for mark in marks)), Refusal.OTHER)
        found[kind] += number
    return found


_LINE: Final = re.compile(r"^(keyrack_connections_accepted_total|keyrack_handshakes_total)\{(.*)\} ([0-9.e+]+)$")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def counted(text: str) -> Counted:
    """Of metrics in the text form of Prometheus, over all processes."""
    accepted, refused = 0, Counter[str]()
    for line in text.splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        number, labels = int(float(found[3])), dict(_LABEL.findall(found[2]))
        if found[1] == "keyrack_connections_accepted_total":
            accepted += number
        elif labels.get("outcome") == "refused" and labels.get("reason"):
            refused[labels["reason"]] += number
    return Counted(accepted=accepted, refused=dict(refused))


@dataclass(slots=True)
class Watch:
    """One page that is followed: how far it has read, and what had been counted when it began."""

    progress: Progress
    before: Counted | None = None
    """``None`` where nobody could say."""


class Watches:
    """Pages that are followed, by instance, by where their look began, and by who looks; the last :data:`MOST`."""

    def __init__(self) -> None:
        """None yet."""
        self._kept: OrderedDict[tuple[str, str, str], Watch] = OrderedDict()

    def get(self, key: tuple[str, str, str]) -> Watch | None:
        """The watch of a page, where it is known still."""
        return self._kept.get(key)

    def put(self, key: tuple[str, str, str], watch: Watch) -> None:
        """Keep it."""
        self._kept[key] = watch
        self._kept.move_to_end(key)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
