"""What an answer means: JSON to read, a refusal, or nobody who could say. Statuses and codes are Key Protect's."""

import json
from collections.abc import Mapping
from typing import Any, Final

from keyrack.adapters.key_managers._reasons import reason_of
from keyrack.adapters.key_managers.ibm.patience import retry_after
from keyrack.adapters.key_managers.ibm.reading import Answer
from keyrack.ports.key_manager import KeyManagerFailed, KeyManagerRefused, KeyManagerUnavailable, Reason

LONGEST_TEXT: Final = 300
"""Characters of somebody else's text that go into a message of ours."""
PATIENCE: Final = frozenset({408, 425, 429})
"""Statuses below 500 that say nothing about the key; those from 500 on never do."""
_GONE: Final = frozenset({Reason.ABSENT, Reason.DELETED})


class Later(KeyManagerUnavailable):
    """The key manager answers that it cannot answer; perhaps with the seconds for which it is to be left in peace."""

    def __init__(self, told: str, reason: Reason, *, code: str, wait: float | None) -> None:
        super().__init__(told, reason, code=code)
        self.wait = wait


class StaleToken(KeyManagerRefused):
    """A refusal that a new token may mend."""


def broken(what: str, why: str) -> KeyManagerUnavailable:
    """An answer of success that is not what was asked for: a proxy's page, or half of one."""
    return KeyManagerUnavailable(f"the answer to {what} makes no sense: {why}", Reason.FAILING)


def content_of(answer: Answer, what: str) -> Any:
    """The JSON of an answer; ``None`` where it has no body. Raises :class:`KeyManagerUnavailable`."""
    if not answer.body:
        return None
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        # Its text would hold what came: not chained, not told.
        raise broken(what, "it is no JSON") from None


def failure_of(answer: Answer, what: str, now: float) -> KeyManagerFailed | None:
    """What an answer that is no success means; ``None`` for a success. ``now`` is in seconds since 1970."""
    status = answer.status
    if 200 <= status < 300:
        return None
    told, code = _error(answer)
    named = f"{status} {code}".strip()
    text = told or _plain_text(answer)
    message = f"{what}: {text} ({named})" if text else f"{what}: it answers {named}"
    if status in PATIENCE or status >= 500 or status < 400:
        reason = Reason.OVERLOADED if status == 429 else Reason.FAILING
        return Later(message, reason, code=named, wait=retry_after(answer.headers, now))
    reason = reason_of(status, code)
    if reason in _GONE and not told:
        # Not in Key Protect's words: somebody on the way has no such page, which says nothing about the key.
        return KeyManagerRefused(message, Reason.OTHER, code=named)
    if status == 401 or (status == 400 and _speaks_of_token(told, code)):
        return StaleToken(message, reason if status == 401 else Reason.IDENTITY, code=named)
    return KeyManagerRefused(message, reason, code=named)


def text_of(value: Any) -> str:
    """Somebody else's text for people: in one line, without control characters, not longer than a few lines."""
    if not isinstance(value, str):
        return ""
    plain = "".join(each if each.isprintable() else " " for each in value[: LONGEST_TEXT * 2])
    plain = " ".join(plain.split())
    return plain if len(plain) <= LONGEST_TEXT else f"{plain[: LONGEST_TEXT - 1]}…"


def _error(answer: Answer) -> tuple[str, str]:
    """Text and code of Key Protect's envelope; no text where the answer is not in it."""
    try:
        first = json.loads(answer.body)["resources"][0]
        whole = text_of(first["errorMsg"])
    except (ValueError, RecursionError, LookupError, TypeError):
        return "", ""
    reasons = first.get("reasons")
    reason = reasons[0] if isinstance(reasons, list) and reasons and isinstance(reasons[0], Mapping) else {}
    code, more = text_of(reason.get("code"))[:60], text_of(reason.get("message"))
    # The whole often only leads to its reasons.
    return more if more and "reasons" in whole else whole, code


def _plain_text(answer: Answer) -> str:
    """What a gateway says: HPCS tells in this way that no crypto unit is initialised."""
    if not answer.headers.get("content-type", "").startswith("text/plain"):
        return ""
    return text_of(answer.body.decode("utf-8", "replace"))


def _speaks_of_token(told: str, code: str) -> bool:
    """Key Protect answers 400 as well as 401 for a token that has expired."""
    plain = told.lower()
    return code == "BEARER_SUB_EXTRACTION_ERR" or ("token" in plain and "import token" not in plain)
