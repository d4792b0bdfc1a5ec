"""How many objects there are, by instance and state: for those who watch, apart from the loop and from requests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from keyrack.adapters.catalogs.sqlite.opening import READ_WAIT, connect
from keyrack.adapters.catalogs.sqlite.refusals import translated

COUNTS: Final = "SELECT instance, state, count(*) FROM object GROUP BY instance, state"


def keys_by_state(path: Path) -> Mapping[tuple[str, int], int]:
    """By instance and the state that was last written down; it reads every object, so it belongs into a thread.

    Raises ``CatalogUnavailable``.
    """
    with translated():
        connection = connect(path, wait=READ_WAIT)
        try:
            return {(instance, state): number for instance, state, number in connection.execute(COUNTS)}
        finally:
            connection.close()
