"""What one serving process has counted, as a sheet: its requests, its connections, its key managers, itself."""

import platform
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import Final, Protocol

from prometheus_client.process_collector import ProcessCollector

from keyrack.adapters.key_managers.registry import Configured
from keyrack.ports.key_manager import TellsCondition
from keyrack.service.metering import Meter, operation_named, outcome_named
from keyrack.shell.metrics.sheet import Sheet
from keyrack.shell.metrics.table import METRICS

PARTS: Final = ("keyrack", "key_manager", "catalog")
CIRCUIT: Final = ("closed", "half-open", "open")


class Listener(Protocol):
    """What the KMIP listener counts."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Since the start, by name."""
        ...

    @property
    def connections(self) -> int:
        """Open ones."""
        ...


class Memory(Protocol):
    """What the vault tells of its memory."""

    def kept(self) -> int:
        """Unwrapped keys."""
        ...

    def lease_ages(self) -> Mapping[str, Sequence[float]]:
        """Seconds since the last proof of each root key, by key manager."""
        ...


def put_process(sheet: Sheet) -> None:
    """What the system knows of this process, and what runs in it."""
    sheet.put("keyrack_build_info", 1, version=_version(), python=platform.python_version())
    if not sys.platform.startswith("linux"):
        return
    for family in ProcessCollector(registry=None).collect():
        for sample in family.samples:
            if sample.name in METRICS:
                sheet.put(sample.name, sample.value)


def put_requests(sheet: Sheet, meter: Meter) -> None:
    """What requests came to, and what they waited for."""
    meter.settle()
    told: dict[tuple[str, str, str], int] = {}
    for (instance, operation, status, reason), number in meter.requests.items():
        kind = (instance, operation_named(operation), outcome_named(status, reason))
        told[kind] = told.get(kind, 0) + number
    for (instance, named, outcome), number in told.items():
        sheet.put("keyrack_requests_total", number, kmip_instance=instance, operation=named, outcome=outcome)
    for operation, spread in meter.seconds.items():
        sheet.spread("keyrack_request_seconds", spread, operation=operation_named(operation))
    for part, spread in zip(PARTS, meter.parts, strict=True):
        sheet.spread("keyrack_request_part_seconds", spread, part=part)


def put_connections(sheet: Sheet, listener: Listener) -> None:
    """Who came, who was let in, who is there."""
    counts = listener.counts
    sheet.put("keyrack_connections", listener.connections)
    sheet.put("keyrack_connections_accepted_total", counts.get("accepted", 0))
    sheet.put("keyrack_handshakes_total", counts.get("established", 0), outcome="established", reason="")
    refused = _some(counts, "refused: ")
    refused[""] = counts.get("refused", 0) - sum(refused.values())
    for reason, number in refused.items():
        if reason or number:
            sheet.put("keyrack_handshakes_total", number, outcome="refused", reason=reason)
    for limit, number in _some(counts, "turned away: ").items():
        sheet.put("keyrack_connections_turned_away_total", number, limit=limit)
    for why, number in _some(counts, "ended: ").items():
        sheet.put("keyrack_connections_ended_total", number, why=why)


def put_key_managers(sheet: Sheet, meter: Meter, managers: Mapping[str, Configured]) -> None:
    """How key managers answer, and in what condition the way to them is."""
    for (name, verb, outcome), spread in meter.calls.items():
        sheet.spread("keyrack_key_manager_call_seconds", spread, key_manager=name, verb=verb, outcome=outcome)
    for name, at in meter.unwrapped_at.items():
        sheet.put("keyrack_key_manager_last_unwrap_timestamp_seconds", at, key_manager=name)
    for name, manager in managers.items():
        if not isinstance(manager, TellsCondition):
            continue
        seen = manager.condition()
        for state in CIRCUIT:
            sheet.put("keyrack_key_manager_circuit", float(seen.circuit == state), key_manager=name, state=state)
        sheet.put("keyrack_key_manager_retries_total", seen.retries, key_manager=name)
        sheet.put("keyrack_key_manager_not_asked_total", seen.not_asked, key_manager=name)
        sheet.put("keyrack_key_manager_read_only", float(seen.read_only), key_manager=name)


def put_memory(sheet: Sheet, memory: Memory) -> None:
    """What is unwrapped in memory, and on how old a word."""
    sheet.put("keyrack_cache_entries", memory.kept())
    for name, ages in memory.lease_ages().items():
        sheet.put("keyrack_lease_age_seconds", max(ages), key_manager=name, which="oldest")
        sheet.put("keyrack_lease_age_seconds", min(ages), key_manager=name, which="newest")


def serving(
    process: str, *, meter: Meter, listener: Listener, managers: Mapping[str, Configured], memory: Memory
) -> Sheet:
    """Everything that a serving process tells; ``process`` is its name, such as ``kmip-0``."""
    sheet = Sheet(process)
    put_process(sheet)
    put_requests(sheet, meter)
    put_connections(sheet, listener)
    put_key_managers(sheet, meter, managers)
    put_memory(sheet, memory)
    return sheet


def _some(counts: Mapping[str, int], begin: str) -> dict[str, int]:
    """The counts whose names begin so, by what follows."""
    return {name.removeprefix(begin): number for name, number in counts.items() if name.startswith(begin)}


@cache
def _version() -> str:
    return version("keyrack")
