"""Every metric of Keyrack: the one table that answers, dashboard, alerts and documents are held against.

No label tells a key apart. Instances, operations, outcomes, verbs and reasons are few; whoever has more than
:data:`keyrack.service.metering.MOST_INSTANCES` instances sees the rest of them together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Named:
    """What is known of a metric beside its name."""

    kind: Kind
    told: str
    labels: tuple[str, ...] = ()


def _counter(told: str, *labels: str) -> Named:
    return Named("counter", told, labels)


def _gauge(told: str, *labels: str) -> Named:
    return Named("gauge", told, labels)


def _histogram(told: str, *labels: str) -> Named:
    return Named("histogram", told, labels)


PROCESS: Final = "process"
"""The label of whatever one process counts: ``kmip-0``, ``kmip-1`` …, ``web``."""

INSTANCE: Final = "kmip_instance"
"""The label of an instance's name; Prometheus itself calls what it scrapes ``instance``."""

SERVING: Final[Mapping[str, Named]] = {
    "keyrack_build_info": _gauge("1, with the version of Keyrack and of Python.", PROCESS, "version", "python"),
    "keyrack_requests_total": _counter(
        "KMIP operations that were asked for, by what they came to.", PROCESS, INSTANCE, "operation", "outcome"
    ),
    "keyrack_request_seconds": _histogram(
        "Time from a whole request message to its answer, by operation; of several items: Batch.", PROCESS, "operation"
    ),
    "keyrack_request_part_seconds": _histogram(
        "The same, split: keyrack (our own), key_manager and catalog (the commit, with the journal).", PROCESS, "part"
    ),
    "keyrack_connections": _gauge("Connections that are open, handshakes included.", PROCESS),
    "keyrack_connections_accepted_total": _counter("Connections that were accepted.", PROCESS),
    "keyrack_connections_turned_away_total": _counter(
        "Connections that were closed at once because a limit was reached.", PROCESS, "limit"
    ),
    "keyrack_connections_ended_total": _counter("Connections that ended, and why.", PROCESS, "why"),
    "keyrack_handshakes_total": _counter(
        "TLS handshakes: established, or refused and why.", PROCESS, "outcome", "reason"
    ),
    "keyrack_cache_entries": _gauge("Unwrapped keys in memory.", PROCESS),
    "keyrack_lease_age_seconds": _gauge(
        "Time since a root key was last proved usable; the oldest grows without harm where nobody asks for its keys.",
        PROCESS,
        "key_manager",
        "which",
    ),
    "keyrack_key_manager_call_seconds": _histogram(
        "Calls to key managers: success, refused, unavailable or cancelled.", PROCESS, "key_manager", "verb", "outcome"
    ),
    "keyrack_key_manager_last_unwrap_timestamp_seconds": _gauge(
        "When this process last had a key manager really unwrap something.", PROCESS, "key_manager"
    ),
    "keyrack_key_manager_circuit": _gauge(
        "1 for the state that the circuit breaker is in: closed, half-open or open.", PROCESS, "key_manager", "state"
    ),
    "keyrack_key_manager_retries_total": _counter("Calls that were repeated.", PROCESS, "key_manager"),
    "keyrack_key_manager_not_asked_total": _counter(
        "Calls that were not made: the circuit was open, or too many were under way.", PROCESS, "key_manager"
    ),
    "keyrack_key_manager_read_only": _gauge("1 while it unwraps and takes nothing new.", PROCESS, "key_manager"),
    "process_cpu_seconds_total": _counter("Processor time, in user and system mode.", PROCESS),
    "process_resident_memory_bytes": _gauge("Memory in use.", PROCESS),
    "process_virtual_memory_bytes": _gauge("Memory that is mapped.", PROCESS),
    "process_start_time_seconds": _gauge("When the process began.", PROCESS),
    "process_open_fds": _gauge("Open file descriptors.", PROCESS),
    "process_max_fds": _gauge("File descriptors that may be open.", PROCESS),
}
"""What each process counts."""

DEPLOYMENT: Final[Mapping[str, Named]] = {
    "keyrack_instances": _gauge("Instances by status.", "status"),
    "keyrack_instance_sealed": _gauge("1 while an administrator keeps the instance sealed.", INSTANCE),
    "keyrack_keys": _gauge("Keys and other objects by the state that was last written down.", INSTANCE, "state"),
    "keyrack_quota_used_ratio": _gauge(
        "How much of a quota is used: 0 none, 1 all; keys or certificates.", INSTANCE, "quota"
    ),
    "keyrack_root_key_usable": _gauge("1 where the last look found the root key usable, 0 where not.", INSTANCE),
    "keyrack_keys_withheld": _gauge("Keys whose standard key was deleted in the key manager.", INSTANCE),
    "keyrack_keys_behind": _gauge("Keys that an older version of the root key has wrapped.", INSTANCE),
    "keyrack_certificates": _gauge("Client certificates in force.", INSTANCE),
    "keyrack_certificate_days_left": _gauge(
        "Days until the first of the instance's client certificates expires.", INSTANCE
    ),
    "keyrack_authorities": _gauge("Trusted certificate authorities.", INSTANCE),
    "keyrack_authority_days_left": _gauge(
        "Days until the first of the instance's trusted authorities expires.", INSTANCE
    ),
    "keyrack_server_certificate_days_left": _gauge("Days until the server's own certificate expires."),
    "keyrack_seen_certificates": _gauge("Certificates that knocked and are not trusted."),
    "keyrack_journal_records_total": _counter("Records that were ever written to the journal."),
    "keyrack_journal_flaws": _gauge("Records that do not fit their chain, of those that were looked at."),
    "keyrack_checkpoint_timestamp_seconds": _gauge("When the journal's last checkpoint was signed."),
    "keyrack_rollback_mode": _gauge("1 while nothing can be changed, because the catalog was restored from a copy."),
    "keyrack_last_backup_timestamp_seconds": _gauge("When the last backup was made."),
    "keyrack_last_backup_good": _gauge("1 where the last backup was made, 0 where it failed."),
    "keyrack_last_backup_keys": _gauge("Keys in the last backup."),
    "keyrack_last_proof_timestamp_seconds": _gauge("When it was last tried whether every copy of every key opens."),
    "keyrack_last_proof_good": _gauge("1 where each opened, 0 where one did not."),
    "keyrack_last_proof_keys": _gauge("Keys that the last proof has opened."),
    "keyrack_sink_lag_records": _gauge("Journal records that a sink has not taken yet.", "sink"),
    "keyrack_people": _gauge("People by standing: active, disabled or locked out.", "standing"),
    "keyrack_administrators": _gauge("People who may log in and have the role administrator for everything."),
    "keyrack_api_keys": _gauge("API keys in force."),
    "keyrack_api_key_days_left": _gauge("Days until the first API key expires."),
    "keyrack_approvals_waiting": _gauge("Acts that wait for a second person."),
    "keyrack_back_office_up": _gauge("1 where a serving process answers the web process."),
}
"""What the catalog says of the whole deployment, once for all processes."""

WEB: Final[Mapping[str, Named]] = {
    "keyrack_web_requests_total": _counter(
        "Requests to the administration API by route.", PROCESS, "method", "route", "status"
    ),
    "keyrack_web_request_seconds": _histogram("Time to answer them.", PROCESS),
}
"""What the web process counts of its own."""

METRICS: Final[Mapping[str, Named]] = {**SERVING, **DEPLOYMENT, **WEB}


def markdown() -> str:
    """The table for ``docs/metrics.md``."""
    lines: list[str] = []
    groups = (
        ("Of each process", SERVING, "The label `process` says whose: `kmip-0`, `kmip-1` …, or `web`."),
        ("Of the deployment", DEPLOYMENT, "Read from the catalog, at most every 15 seconds; keys once a minute."),
        ("Of the administration API", WEB, ""),
    )
    for title, group, told in groups:
        lines += [f"## {title}", "", *([told, ""] if told else [])]
        lines += ["| metric | kind | labels | meaning |", "| --- | --- | --- | --- |"]
        for name, each in group.items():
            lines.append(f"| `{name}` | {each.kind} | {', '.join(f'`{one}`' for one in each.labels)} | {each.told} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"
