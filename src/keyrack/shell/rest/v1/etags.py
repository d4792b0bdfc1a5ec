"""Entity tags: a change says which representation it was decided on, and is refused where that one is over."""

import dataclasses
import hashlib
import json
from typing import Annotated, Any

from fastapi import Depends, Header
from pydantic import BaseModel

from keyrack.shell.rest.v1.problems import Problem


def etag_of(*parts: Any) -> str:
    """A strong tag of what makes a resource: frozen values, models, or versions."""
    text = json.dumps([_plain(part) for part in parts], sort_keys=True, default=_other, ensure_ascii=True)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


class Matched:
    """What the header If-Match says."""

    def __init__(self, told: str) -> None:
        """``told`` is the header."""
        self._told = [each.strip() for each in told.split(",")]

    def holds(self, etag: str) -> None:
        """Raise :class:`Problem` (412) unless the resource is still the one that was seen; ``*`` means any."""
        if "*" not in self._told and etag not in self._told:
            raise Problem(
                "changed-meanwhile",
                "the resource is not the one that If-Match names",
                hint="get it again, look at what has changed, and send its new ETag",
            )


def _matched(
    if_match: Annotated[
        str | None, Header(alias="If-Match", max_length=1000, description="The ETag that a GET has answered.")
    ] = None,
) -> Matched:
    if not if_match:
        raise Problem(
            "if-match-missing", "a change names what it is a change of", hint="send If-Match with the ETag of a GET"
        )
    return Matched(if_match)


IfMatch = Annotated[Matched, Depends(_matched)]
"""The argument of every PATCH, PUT and DELETE of one resource: ``seen: IfMatch``."""


def _plain(part: Any) -> Any:
    if isinstance(part, BaseModel):
        return part.model_dump(mode="json")
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        return {each.name: _plain(getattr(part, each.name)) for each in dataclasses.fields(part)}
    return part


def _other(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, set | frozenset):
        return sorted((_plain(each) for each in value), key=repr)
    if dataclasses.is_dataclass(value):
        return _plain(value)
    return str(value)
