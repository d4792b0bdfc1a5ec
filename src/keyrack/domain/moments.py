"""Moments as programs and records write them."""

from datetime import UTC, datetime


def rfc3339(seconds: int) -> str:
    """A time in seconds since 1970, in UTC to the second: ``2026-11-22T17:00:00Z``."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
