"""What an act may stop, as a person sees it before the words are typed."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from keyrack.shell.cli import screen

_SHOWN = 30
"""Keys that are shown at a terminal; ``--json`` has more."""


def show(impact: Mapping[str, Any]) -> None:
    """On standard error: the keys with their machines and last fetches, how many, and what cannot be seen.

    Of what other acts tell, that has no keys one by one, nothing is shown.
    """
    keys = impact.get("keys")
    if not isinstance(keys, Sequence):
        return
    columns = ("id", "name", "component", "state", "last fetch", "by", "from", "times")
    for line in screen.table_lines(columns, [_cells(each) for each in keys[:_SHOWN]]) if keys else ():
        print(line, file=sys.stderr)
    if impact["total"] > _SHOWN:
        print(f"and {impact['total'] - min(_SHOWN, len(keys))} more", file=sys.stderr)
    print(f"\n{_counts(impact)}\n{impact['unseen']}\n", file=sys.stderr)


def _cells(key: Mapping[str, Any]) -> list[Any]:
    fetch = key["last_fetch"] or {}
    by = str(fetch.get("by", ""))
    return [
        key["unique_identifier"][:8],
        key["name"],
        key["component"],
        key["state"],
        screen.brief(fetch.get("at")) or "never",
        by.removeprefix("CertificateID-")[:16],
        fetch.get("address"),
        fetch.get("count"),
    ]


def _counts(impact: Mapping[str, Any]) -> str:
    parts = [
        screen.count(impact["virtual_machines"], "virtual machine"),
        screen.count(impact["hosts"], "host"),
        f"{screen.count(impact['others'], 'key')} of other things",
        f"{screen.count(impact['unnamed'], 'key')} that vCenter has not named",
    ]
    named = ", ".join(part for part in parts if not part.startswith("0 ")) or "no key"
    return f"{named}; {impact['fetched_within_400_days']} fetched within 400 days."
