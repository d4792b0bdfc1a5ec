"""What every administrative act asks first: who acts, and whether a name can be one."""

import uuid

from keyrack.embedded.call import Caller
from keyrack.embedded.errors import InvalidField, Unauthorised


def require_administrator(caller: Caller) -> None:
    """Return for whoever administers at the machine; raises :class:`Unauthorised` for every service ID.

    No role of Key Protect gives rights over service IDs, grants or instances: a key that leaks cannot make more keys.
    """
    if caller.service_id is not None:
        raise Unauthorised("Only an administrator at the machine may do this, with the command 'keyrack'")


def require_text(what: str, text: str, least: int, most: int, *, field: str = "name") -> None:
    """Raise :class:`InvalidField` unless it has ``least`` to ``most`` characters, all of which can be printed."""
    if not least <= len(text) <= most:
        raise InvalidField(f"{what} has {least} to {most} characters, and not {len(text)}", target=("field", field))
    if not text.isprintable() or text != text.strip():
        raise InvalidField(f"{what} has printable characters only, and no space at its ends", target=("field", field))


def require_name(what: str, name: str, least: int, most: int) -> None:
    """Like :func:`require_text`, for what is named by name or identifier: a UUID would be mistaken for another's."""
    require_text(what, name, least, most)
    try:
        uuid.UUID(name)
    except ValueError:
        return
    raise InvalidField(f"{what} is not a UUID, so that nobody takes it for an identifier", target=("field", "name"))
