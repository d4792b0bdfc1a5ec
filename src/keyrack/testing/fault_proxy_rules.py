"""What a fault proxy does to requests: faults, the rules that say which requests they strike, and what was seen."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Final, Self


class Fault(StrEnum):
    """What may happen between a client and a key manager."""

    LATENCY = "latency"
    """The request waits for the rule's ``seconds`` before it goes on."""
    SKEWED_CLOCK = "skewed clock"
    """The header Date and the moment at which a token ends are ``seconds`` later, or earlier if they are negative."""
    AAD_IGNORED = "aad ignored"
    """``aad`` is taken out of the request: a key manager that does not bind a ciphertext to its strings."""

    HANG = "hang"
    """The request is read, and goes on when the rule is lifted."""
    RESET_BEFORE = "reset before"
    """The connection is reset; the key manager has not seen the request."""
    RESET_AFTER = "reset after"
    """The key manager has done what was asked; then the connection is reset."""
    ANSWER_LOST = "answer lost"
    """The key manager has done what was asked; the connection is closed in good order without an answer."""
    ANSWER_HELD = "answer held"
    """The key manager has done what was asked; its answer is passed on when the rule is lifted."""
    LATE = "late"
    """The request reaches the key manager ``seconds`` later, even if the client is gone by then; no answer comes."""
    HALF_ANSWER = "half answer"
    """The answer ends in the middle of its body."""
    DRIP = "drip"
    """The answer comes byte by byte, one in ``seconds``."""
    GARBAGE = "garbage"
    """Success is answered, with a page of somebody else's."""
    ENDLESS = "endless"
    """Success is answered, with a body that has no end."""

    REQUEST_TIMEOUT = "408"
    TOO_EARLY = "425"
    TOO_MANY_REQUESTS = "429"
    INTERNAL_ERROR = "500"
    BAD_GATEWAY = "502"
    UNAVAILABLE = "503"
    GATEWAY_TIMEOUT = "504"
    STALE_TOKEN = "stale token"
    """401 for the token that the rule sees first; a fresh one is good."""
    STALE_TOKEN_400 = "stale token, 400"
    """The same as 400, as Key Protect may say it."""
    REFUSED_TOKEN = "refused token"
    """401 for every token."""
    REFUSED_TOKEN_400 = "refused token, 400"
    REVOKED_API_KEY = "revoked API key"
    """IAM does not know the API key any more."""
    WRONG_REGION = "wrong region"
    NETWORK_POLICY = "network policy"
    AAD_REFUSED = "aad refused"
    """A request with ``aad`` is refused, as by a key manager that has no such field."""
    NOT_INITIALISED = "not initialised"
    """An HPCS instance whose master key is not loaded."""
    TEAPOT = "unknown 4xx"

    BLACK_HOLE = "black hole"
    """Connections are taken and nothing is ever said, neither on new ones nor on those that are open."""
    NO_CONNECTION = "no connection"
    """Connections are reset before TLS begins."""
    UNTRUSTED = "untrusted"
    """The server's certificate is of an authority that nobody knows."""


ONWARD: Final = frozenset({Fault.LATENCY, Fault.SKEWED_CLOCK, Fault.AAD_IGNORED})
"""Faults after which a request goes on to the next rule."""
OF_CONNECTIONS: Final = frozenset({Fault.BLACK_HOLE, Fault.NO_CONNECTION, Fault.UNTRUSTED})
"""Faults that strike connections, whatever is asked on them."""
OF_ONE_TOKEN: Final = frozenset({Fault.STALE_TOKEN, Fault.STALE_TOKEN_400})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which requests a fault strikes: those of this method and path, without the query, as patterns of the shell."""

    fault: Fault
    method: str = "*"
    path: str = "*"
    after: int = 0
    """How many that fit are let through first."""
    times: int | None = None
    """How many are struck at most; ``None``: all."""
    chance: float = 1.0
    """With which probability one that fits is struck."""
    seconds: float = 0.0
    retry_after: float | None = None
    """Seconds told in the header Retry-After; ``None``: no such header."""
    as_date: bool = False
    """Whether Retry-After is told as a date."""

    def fits(self, method: str, path: str) -> bool:
        """Whether a request is one that the rule is about."""
        return fnmatchcase(method, self.method) and fnmatchcase(path, self.path)

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Self:
        """The reverse of :meth:`told`."""
        return cls(**{**told, "fault": Fault(told["fault"])})


def read_only(fault: Fault = Fault.UNAVAILABLE) -> Rule:
    """A regional disaster: what is there unwraps and is read, nothing new is kept."""
    return Rule(fault=fault, method="POST", path="/api/v2/keys")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request that came to a proxy; never its body, nor a token."""

    number: int
    at: float
    """Steady seconds."""
    connection: int
    method: str
    path: str
    """Without the query."""
    query: str
    fault: Fault | None
    """What ended it, if it was struck."""
    forwarded: bool = False
    """Whether the key manager was given the request."""
    done: bool = False
    """Whether the key manager has answered."""
    status: int | None = None
    """What the client was answered; ``None`` while nothing is."""

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Self:
        """From JSON."""
        return cls(**{**told, "fault": told["fault"] and Fault(told["fault"])})


def counted(seen: Iterable[Seen], method: str = "*", path: str = "*") -> int:
    """How many of the requests have this method and path, patterns of the shell."""
    return sum(fnmatchcase(each.method, method) and fnmatchcase(each.path, path) for each in seen)


def by_path(seen: Iterable[Seen]) -> Counter[tuple[str, str]]:
    """How often each was asked, by method and path."""
    return Counter((each.method, each.path) for each in seen)


class Rules:
    """The rules that are in force, and what they have struck; the first that strikes ends a request."""

    def __init__(self, rules: Sequence[Rule], chance: Callable[[], float] = random.random) -> None:
        """Begin with nothing struck; ``chance`` gives numbers from 0 to 1."""
        self.rules = tuple(rules)
        self._chance = chance
        self._met = [0] * len(self.rules)
        self._struck = [0] * len(self.rules)
        self._token: dict[int, str] = {}

    def of_connections(self) -> Rule | None:
        """The rule that strikes connections, if any."""
        return next((rule for rule in self.rules if rule.fault in OF_CONNECTIONS), None)

    def strike(self, method: str, path: str, token: str) -> list[Rule]:
        """The rules that strike a request, in their order; ``token`` tells tokens apart."""
        struck = []
        for number, rule in enumerate(self.rules):
            if rule.fault in OF_CONNECTIONS or not rule.fits(method, path) or not self._strikes(number, rule, token):
                continue
            struck.append(rule)
            if rule.fault not in ONWARD:
                break
        return struck

    def _strikes(self, number: int, rule: Rule, token: str) -> bool:
        if rule.fault in OF_ONE_TOKEN and self._token.setdefault(number, token) != token:
            return False
        self._met[number] += 1
        if self._met[number] <= rule.after or (rule.times is not None and self._struck[number] >= rule.times):
            return False
        if rule.chance < 1 and self._chance() >= rule.chance:
            return False
        self._struck[number] += 1
        return True
