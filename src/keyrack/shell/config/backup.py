"""The configuration's table of backups: whether and when the server makes them, how many it keeps, when to worry."""

from pathlib import Path
from typing import Final

from pydantic import Field, model_validator

from keyrack.shell.config.key_managers import Table
from keyrack.shell.config.problems import mistake

_SLACK: Final = 2.0
"""Hours by which a backup, or a proof, may be late before anybody is told."""


class BackupTable(Table):
    """Backups of a SQLite catalog and of what belongs to it. PostgreSQL has its own: docs/backup.md."""

    directory: Path = Field(
        default=Path("backups"),
        description="Where backups are kept; better on another disk than the catalog's, and copied elsewhere.",
    )
    every_hours: float = Field(
        default=0,
        ge=0,
        le=720,
        description="Time between two backups that the server makes by itself. 0: it makes none.",
    )
    keep: int = Field(
        default=14,
        ge=1,
        le=10_000,
        description="How many backups are kept there; a new one takes the oldest one's place.",
    )
    prove_daily: bool = Field(
        default=False,
        description="Whether the server proves once a day that every key opens, in the catalog and in every backup.",
    )
    alarm_hours: float = Field(
        default=0,
        ge=0,
        le=8760,
        description="Age of the last backup that is told as a trouble. 0: twice `every_hours`, where that is set.",
    )

    @property
    def oldest(self) -> float:
        """Seconds that the last backup may be old; 0 where nobody is to be told."""
        hours = self.alarm_hours or (2 * self.every_hours + _SLACK if self.every_hours else 0)
        return hours * 3600

    @property
    def oldest_proof(self) -> float:
        """The same of the last proof."""
        return (2 * 24 + _SLACK) * 3600 if self.prove_daily else 0

    @model_validator(mode="after")
    def _alarm_is_later(self) -> "BackupTable":
        if 0 < self.alarm_hours < self.every_hours:
            raise mistake(
                f"alarm_hours is {self.alarm_hours:g}, and a backup is made each {self.every_hours:g} hours",
                "write an alarm_hours that is longer than every_hours, or leave it out",
            )
        return self
