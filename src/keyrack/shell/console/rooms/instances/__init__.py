"""``/instances``: the table of them, a new one, and the page of one with what becomes of it.

A tab of another room finds its instance with :func:`framed`, and extends the template ``instances/frame.html``.
"""

from keyrack.shell.console.rooms.instances import endings, home, key_manager, making, settings, table
from keyrack.shell.console.rooms.instances.frame import framed, room

__all__ = ["endings", "framed", "home", "key_manager", "making", "room", "settings", "table"]
