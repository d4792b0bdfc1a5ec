"""``/``: what is well and what is not, at one look, with plots of what the serving processes do."""

from keyrack.shell.console.rooms.overview import page, plots
from keyrack.shell.console.rooms.overview.room import room

__all__ = ["page", "plots", "room"]
