"""Coroutines that never wait, run to their end within one turn of the loop."""

from collections.abc import Coroutine
from typing import Any, TypeVar, cast

Answer = TypeVar("Answer")


def at_once(coroutine: Coroutine[Any, Any, Answer]) -> Answer:
    """Run it; raises what it raises, and ``RuntimeError`` where it waits for something after all.

    The parts of the catalog are written for a database that is waited for. SQLite's statements take microseconds, and
    run here without a turn of the loop for each.
    """
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return cast(Answer, ended.value)
    coroutine.close()
    raise RuntimeError("a part of the catalog waits for something, within SQLite's transaction")
