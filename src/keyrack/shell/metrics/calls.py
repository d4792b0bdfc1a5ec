"""Counts and times each call to a key manager, whoever makes it: requests, care, an administrator's looks."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from keyrack.adapters.key_managers.registry import SEPARATOR, Configured
from keyrack.ports.key_manager import KeyManagerRefused
from keyrack.service.metering import REFUSED, SUCCESS, UNAVAILABLE, Meter

VERBS: Final = (
    "describe_root_key",
    "wrap",
    "unwrap",
    "rewrap",
    "put_standard_key",
    "get_standard_key",
    "find_standard_keys",
    "delete_standard_key",
    "probe",
    "list_root_keys",
    "create_root_key",
    "rotate_root_key",
    "disable_root_key",
    "enable_root_key",
    "delete_root_key",
)
"""What a key manager is asked for, one answer each; a listing of standard keys is counted as a whole."""
LISTING: Final = "list_standard_keys"
CANCELLED: Final = "cancelled"


def metered(meter: Meter) -> Callable[[str, Configured], None]:
    """What has the calls to a key manager, by its name in the configuration, counted in ``meter``.

    Its methods are replaced on the object itself, so that it keeps its type and its optional powers.
    """

    def watch(name: str, manager: Configured) -> None:
        configured = name.partition(SEPARATOR)[0]
        for verb in VERBS:
            asked = getattr(manager, verb, None)
            if asked is not None:
                setattr(manager, verb, _timed(asked, meter, configured, verb))
        setattr(manager, LISTING, _listed(manager.list_standard_keys, meter, configured))

    return watch


def _timed(
    asked: Callable[..., Awaitable[Any]], meter: Meter, key_manager: str, verb: str
) -> Callable[..., Awaitable[Any]]:
    async def timed(*arguments: Any, **named: Any) -> Any:
        began, outcome = time.perf_counter(), CANCELLED
        try:
            answer = await asked(*arguments, **named)
            outcome = SUCCESS
            return answer
        except Exception as error:
            outcome = _outcome(error)
            raise
        finally:
            meter.called(key_manager, verb, outcome, time.perf_counter() - began)

    return timed


def _listed(
    asked: Callable[..., AsyncIterator[Any]], meter: Meter, key_manager: str
) -> Callable[..., AsyncIterator[Any]]:
    async def listed(*arguments: Any, **named: Any) -> AsyncIterator[Any]:
        began, outcome = time.perf_counter(), CANCELLED
        try:
            async for each in asked(*arguments, **named):
                yield each
            outcome = SUCCESS
        except Exception as error:
            outcome = _outcome(error)
            raise
        finally:
            meter.called(key_manager, LISTING, outcome, time.perf_counter() - began)

    return listed


def _outcome(error: Exception) -> str:
    return REFUSED if isinstance(error, KeyManagerRefused) else UNAVAILABLE
