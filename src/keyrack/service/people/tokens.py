"""What people and their programs show: tokens of log-ins, API keys, one-time links. Made here, kept nowhere.

Each has 256 random bits; the catalog keeps the SHA-256 of the whole text. So nobody who reads the catalog can use what
is in it, and a slow hash, which passwords need, would protect nothing more.
"""

import re
import secrets
from hashlib import sha256
from typing import Final

SESSION: Final = "krs_"
API_KEY: Final = "krk_"
LINK: Final = "krl_"
LOG_IN_LINK: Final = "kro_"

_RANDOM: Final = "[A-Za-z0-9_-]{43}"
_SESSION: Final = re.compile(f"{SESSION}{_RANDOM}")
_API_KEY: Final = re.compile(f"{API_KEY}([0-9a-f]{{32}})_{_RANDOM}")
_LINK: Final = re.compile(f"{LINK}{_RANDOM}")
_LOG_IN_LINK: Final = re.compile(f"{LOG_IN_LINK}{_RANDOM}")


def new_session() -> str:
    """The token of a log-in."""
    return SESSION + secrets.token_urlsafe(32)


def new_link() -> str:
    """The token of a one-time link with which a password is set."""
    return LINK + secrets.token_urlsafe(32)


def new_log_in_link() -> str:
    """The token of a one-time link that logs in. It looks different from one that sets a password, and neither does
    what the other does."""
    return LOG_IN_LINK + secrets.token_urlsafe(32)


def new_api_key(identifier: str) -> str:
    """An API key; ``identifier`` is 32 hexadecimal digits, by which it is found."""
    return f"{API_KEY}{identifier}_{secrets.token_urlsafe(32)}"


def digest(token: str) -> bytes:
    """What the catalog keeps of a token."""
    return sha256(token.encode()).digest()


def is_session(token: str) -> bool:
    """Whether it has the form of a log-in's token."""
    return _SESSION.fullmatch(token) is not None


def is_link(token: str) -> bool:
    """Whether it has the form of the token of a link with which a password is set."""
    return _LINK.fullmatch(token) is not None


def is_log_in_link(token: str) -> bool:
    """Whether it has the form of the token of a link that logs in."""
    return _LOG_IN_LINK.fullmatch(token) is not None


def api_key_identifier(token: str) -> str | None:
    """The identifier in an API key; ``None`` for what has not the form of one."""
    found = _API_KEY.fullmatch(token)
    return found[1] if found else None
