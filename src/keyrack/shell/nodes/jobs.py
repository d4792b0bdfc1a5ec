"""The jobs that one process does for all that share a catalog, and what each node does for itself beside serving.

On SQLite the first process of the machine does both. On PostgreSQL every process of every node stands ready for each
job, and the database says whose it is; so the death of any of them leaves no job undone for more than a second or two.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from keyrack.service.care.purging import Purging
from keyrack.shell import chores
from keyrack.shell.backups.duty import backup_duties
from keyrack.shell.duties import Duty
from keyrack.shell.journal_room import journal_jobs, journal_of_node
from keyrack.shell.nodes.leaders import led
from keyrack.shell.office import windows_of

if TYPE_CHECKING:
    from keyrack.shell.assemble import House


def jobs_of(house: "House", file: Path | None) -> list[Duty]:
    """Each for ever, as long as this process leads it; ``file`` is the configuration, which belongs into a backup."""
    jobs: Mapping[str, Duty] = {
        "reconcile": house.reconcile,
        "care": house.care,
        # One for the life of the process: it knows how far the time of day was from the steady clock at its start.
        "purge": Purging(house.catalog, windows_of(house.config)).watch,
        "schedule": lambda: chores.keep_schedule(house.key_managers),
        "expiry": house.watch_expiry,
        **{f"backups {number}": duty for number, duty in enumerate(backup_duties(house, file))},
    }
    duties = [led(house.catalog, name, duty) for name, duty in jobs.items()]
    return duties + journal_jobs(house.config, house.catalog)


def duties_of_node(house: "House") -> list[Duty]:
    """What the first process of each node does, for its own files."""
    return [lambda: chores.verify(house.key_managers), *journal_of_node(house.config, house.catalog)]
