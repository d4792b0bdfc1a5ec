"""Tries out all that Keyrack will need of an instance, step by step, for whoever sets it up.

A step that failed is told with what to change, and what depends on it is skipped.
"""

import asyncio
import os
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from keyrack.adapters.key_managers.ibm import advice
from keyrack.adapters.key_managers.ibm.exchange import Exchange, Request
from keyrack.adapters.key_managers.ibm.patience import http_date
from keyrack.adapters.key_managers.ibm.records import ACTIVE, DEACTIVATED, DESTROYED, STATES, KeyRecord
from keyrack.adapters.key_managers.ibm.settings import ApiKey, IamSettings, TokenFile, TrustedProfile
from keyrack.domain.secret import Secret, randomize
from keyrack.ports.key_manager import Checked, KeyManagerFailed, KeyManagerRefused, Reason, TellsBinding, Verdict

if TYPE_CHECKING:
    from keyrack.adapters.key_managers.ibm.key_protect import KeyProtect

ADDRESS, CLOCK, IDENTITY, READING = "address and TLS", "clock", "identity", "reading"
ROOT_KEY, WRAP, BINDING, POLICIES = "root key", "wrap and unwrap", "binding to strings", "policies"
STANDARD_KEY, LATENCY = "standard key", "latency"
MOST_SKEW: Final = 60.0
"""Seconds that two clocks may differ before it is told."""
SLOW: Final = 0.3
"""Seconds of an unwrap from which on it is told."""
ROUNDS: Final = 5
_AAD: Final = ("keyrack check", "one")
_OTHER: Final = ("keyrack check", "other")
_ALLOWED: Final = ("create_standard_key", "import_standard_key")
_TOLD_POLICIES: Final[Mapping[str, str]] = {
    "allowedNetwork": "it says from which of IBM's networks the instance is reached",
    "allowedIP": "it lists addresses, and this machine's must stay among them",
    "dualAuthDelete": "a deletion of new keys needs two people, so what Keyrack deletes is refused and stays",
}

Found = tuple[Verdict, str]
WELL, REMARK, FAILED = Verdict.WELL, Verdict.REMARK, Verdict.FAILED


@dataclass(frozen=True, slots=True)
class _Step:
    what: str
    needs: tuple[str, ...]
    act: Callable[["Check"], Awaitable[Found]]


class Check:
    """One check of an instance, with one root key or with the first active one."""

    def __init__(self, manager: "KeyProtect", root_key: str | None, *, write: bool) -> None:
        """With ``write`` a standard key is made and deleted."""
        self._manager = manager
        self._root_key = root_key
        self._write = write
        self._date: tuple[str, float] = ("", 0.0)
        self._latencies: list[float] = []

    async def steps(self) -> AsyncIterator[Checked]:
        """The steps, each once it was tried; raises nothing that the key manager says."""
        missing: set[str] = set()
        for step in _STEPS:
            lacking = [each for each in step.needs if each in missing]
            if lacking or (step.what == STANDARD_KEY and not self._write):
                missing.add(step.what)
                why = f"it needs: {', '.join(lacking)}" if lacking else "nothing is to be written"
                yield Checked(step.what, Verdict.SKIPPED, why)
                continue
            try:
                verdict, told = await step.act(self)
            except KeyManagerFailed as error:
                verdict, told = FAILED, advice.told(error)
            if verdict is FAILED:
                missing.add(step.what)
            yield Checked(step.what, verdict, told)

    async def _address(self) -> Found:
        """An answer of any kind, to a question without a token: what counts is who answers."""
        route = self._manager.route
        tls, headers = await asyncio.to_thread(_knock, self._manager)
        self._date = (headers.get("date", ""), time.time())
        by = f" by the proxy {route.proxy}" if route.proxy else ""
        return WELL, f"{route.origin} answers{by}, over {tls} with a certificate that is trusted"

    async def _clock(self) -> Found:
        moment = http_date(self._date[0])
        if moment is None:
            return REMARK, "the answer has no Date to compare our clock with"
        skew = self._date[1] - moment
        if abs(skew) <= MOST_SKEW:
            return WELL, f"our clock and theirs differ by {abs(skew):.0f} s at most"
        ahead = "ahead of" if skew > 0 else "behind"
        return REMARK, (
            f"our clock is {abs(skew):.0f} s {ahead} theirs: Keyrack does not depend on it, the times in the journal "
            "do. Set it by NTP or PTP"
        )

    async def _identity(self) -> Found:
        manager = self._manager
        found = []
        for tokens, iam in ((manager.tokens, manager.settings.iam), (manager.deleting, manager.settings.deleting)):
            if tokens is not None and iam is not None:
                try:
                    await tokens.current(time.monotonic() + manager.settings.write_seconds)
                except KeyManagerFailed as error:
                    second = "of the table `deleting`: " if tokens is manager.deleting else ""
                    return FAILED, second + advice.told(error)
                found.append(_source(iam))
        return WELL, f"there is a token {' and another '.join(found)}"

    async def _reading(self) -> Found:
        page = await self._manager.client.page(limit=1, extractable=False)
        return WELL, "it lists keys" if page.length else "it lists keys, and there is no root key yet"

    async def _find_root_key(self) -> Found:
        if self._root_key is None:
            active = [key for key in await self._manager.list_root_keys() if key.state == ACTIVE]
            if not active:
                return FAILED, (
                    f"there is no active root key. Make one: the {self._manager.product} instance ▸ Keys ▸ Add ▸ Root "
                    "key, or `keyrack root-key create`"
                )
            self._root_key = active[0].identifier
        record = await self._manager.client.describe(self._root_key)
        return _judged(record, self._manager)

    async def _round_trips(self) -> Found:
        for _ in range(ROUNDS):
            await self._round_trip()
        median = statistics.median(self._latencies)
        return WELL, f"{ROUNDS} random keys came back as they were, an unwrap in {median * 1000:.0f} ms (median)"

    async def _round_trip(self) -> None:
        manager, root_key = self._manager, self._root_key or ""
        with Secret(bytearray(32)) as secret:
            randomize(secret.reveal())
            # IBM's HPCS may know no strings, which the next step finds out; a round trip needs none.
            wrapped = await manager.wrap(root_key, secret, ())
            began = time.perf_counter()
            with (await manager.unwrap(root_key, wrapped.ciphertext, ())).plaintext as opened:
                self._latencies.append(time.perf_counter() - began)
                if not opened.matches(secret):
                    told = "the root key does not give back what it has wrapped"
                    raise KeyManagerRefused(told, Reason.OTHER)

    async def _find_binding(self) -> Found:
        manager, root_key = self._manager, self._root_key or ""
        if isinstance(manager, TellsBinding):
            if await manager.binds(root_key):
                return WELL, "a ciphertext opens under its own strings alone"
            return REMARK, (
                "this instance does not bind ciphertexts to strings: Keyrack sends none here, and binds each key by "
                "a hash within what is wrapped"
            )
        with Secret(bytearray(32)) as secret:
            randomize(secret.reveal())
            wrapped = await manager.wrap(root_key, secret, _AAD)
        (await manager.unwrap(root_key, wrapped.ciphertext, _AAD)).plaintext.wipe()
        try:
            (await manager.unwrap(root_key, wrapped.ciphertext, _OTHER)).plaintext.wipe()
        except KeyManagerRefused as refusal:
            if refusal.reason is not Reason.CIPHERTEXT:
                raise
            return WELL, "a ciphertext opens under its own strings alone"
        return FAILED, (
            "a ciphertext opens under other strings than its own: what answers is not Key Protect. If it is HPCS, "
            'write type = "hpcs"'
        )

    async def _policies(self) -> Found:
        try:
            policies = await self._manager.client.instance_policies()
        except KeyManagerRefused:
            return REMARK, "not looked at: only a Manager may see the instance's policies"
        return _judged_policies(policies)

    async def _standard_key(self) -> Found:
        manager, name, payload = self._manager, f"keyrack_check_{uuid.uuid4()}", os.urandom(256)
        identifier = await manager.put_standard_key(name, payload)
        try:
            same = (await manager.get_standard_key(identifier)).payload == payload
        finally:
            # Also where it cannot be read.
            kept = await self._is_left(identifier)
        if not same:
            return FAILED, f"the standard key {name} came back changed: something on the way changes it"
        if kept:
            return REMARK, (
                f"{name} was made and read, and is not deleted ({kept}): that needs the role Manager. Give the table "
                "`deleting` a second credential, or accept that old standard keys stay; delete this one by hand"
            )
        return WELL, (
            f"{name} was made, read and deleted. IBM bills a deleted key until it is purged, at the latest after 30 "
            "days in which it can be restored"
        )

    async def _is_left(self, identifier: str) -> str:
        """Why a standard key cannot be deleted; empty where it was."""
        try:
            await self._manager.delete_standard_key(identifier)
        except KeyManagerRefused as refusal:
            return str(refusal)
        return ""

    async def _latency(self) -> Found:
        median, longest = statistics.median(self._latencies), max(self._latencies)
        figures = f"an unwrap takes {median * 1000:.0f} ms (median), {longest * 1000:.0f} ms at most"
        if median <= SLOW:
            return WELL, figures
        return REMARK, f"{figures}: take the nearest region and the private network, or two-level instances"


_STEPS: Final = (
    _Step(ADDRESS, (), Check._address),
    _Step(CLOCK, (ADDRESS,), Check._clock),
    _Step(IDENTITY, (), Check._identity),
    _Step(READING, (ADDRESS, IDENTITY), Check._reading),
    _Step(ROOT_KEY, (READING,), Check._find_root_key),
    _Step(WRAP, (ROOT_KEY,), Check._round_trips),
    _Step(BINDING, (WRAP,), Check._find_binding),
    _Step(POLICIES, (READING,), Check._policies),
    _Step(STANDARD_KEY, (READING, POLICIES), Check._standard_key),
    _Step(LATENCY, (WRAP,), Check._latency),
)


def _knock(manager: "KeyProtect") -> tuple[str, Mapping[str, str]]:
    """Which TLS is spoken, and the head of an answer; in a thread."""
    until = time.monotonic() + manager.settings.write_seconds
    exchange = Exchange(manager.route, time.monotonic)
    exchange.open(until)
    try:
        tls = exchange.tls
        return tls, exchange.ask(Request(method="GET", path="/"), until).headers
    finally:
        exchange.close()


def _source(iam: IamSettings) -> str:
    match iam.source:
        case ApiKey(file):
            return f"for the API key in {file}"
        case TrustedProfile(profile):
            return f"for the trusted profile {profile}"
        case TokenFile(file):
            return f"in {file}"


def _judged(record: KeyRecord, manager: "KeyProtect") -> Found:
    """Whether a key will do as a root key."""
    named = f"{record.name} ({record.identifier})"
    if record.extractable:
        return FAILED, f"{named} is a standard key: make a root key (the instance ▸ Keys ▸ Add ▸ Root key)"
    if record.state == DEACTIVATED:
        return FAILED, (
            f"{named} has expired: what it has wrapped still opens, and nothing new can be wrapped. Take another root "
            "key: `keyrack instance change-root-key`"
        )
    if record.state != ACTIVE:
        state = STATES.get(record.state, f"in state {record.state}")
        reason = Reason.DELETED if record.state == DESTROYED else Reason.STATE
        return FAILED, f"{named} is {state}. {advice.BY_REASON[reason]}"
    if manager.default_ring_only and record.ring not in ("", "default"):
        return FAILED, f"{named} lies in the key ring {record.ring}: KMIP needs it in the key ring default"
    told = f"{named} is active, its version {record.version}"
    if record.imported:
        told += "; it was imported, so rotating it needs new key material"
    if record.expires_at is not None:
        date = time.strftime("%Y-%m-%d", time.gmtime(record.expires_at))
        return REMARK, f"{told}; it expires on {date}, and wraps nothing new from then on"
    return WELL, told


def _judged_policies(policies: Sequence[Mapping[str, Any]]) -> Found:
    enabled = {each.get("policy_type"): each["policy_data"] for each in policies if _is_enabled(each)}
    attributes = enabled.get("keyCreateImportAccess", {}).get("attributes") or {}
    if forbidden := [name for name in _ALLOWED if attributes.get(name) is False]:
        return FAILED, (
            f"the policy keyCreateImportAccess forbids {' and '.join(forbidden)}: Keyrack cannot keep wrapped keys "
            f'there. {advice.BY_REASON[Reason.POLICY]} Or make instances with storage = "catalog"'
        )
    told = [f"{name}: {why}" for name, why in _TOLD_POLICIES.items() if name in enabled]
    return (REMARK, "; ".join(told)) if told else (WELL, "no policy is in the way")


def _is_enabled(policy: Mapping[str, Any]) -> bool:
    data = policy.get("policy_data")
    return isinstance(data, Mapping) and data.get("enabled") is True
