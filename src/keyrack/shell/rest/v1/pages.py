"""Lists in pages: ``{"items": [...], "next": cursor}``, where the cursor says behind what the next page begins."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel, Field
from starlette.requests import Request

from keyrack.shell.rest.v1.problems import Problem

MOST: Final = 500
USUAL: Final = 100
LONGEST: Final = 500

T = TypeVar("T")
Item = TypeVar("Item", bound=BaseModel)


class Listing(BaseModel, Generic[Item]):
    """One page of a list."""

    items: Sequence[Item]
    next: str | None = Field(description="The cursor of the next page; null on the last one.")


@dataclass(frozen=True, slots=True)
class Page:
    """Which page was asked for."""

    noun: str
    limit: int
    after: Any = None
    """The position behind which it begins, as :meth:`cursor` was given it; ``None`` for the first page."""

    def cursor(self, position: Any) -> str:
        """The cursor of the page behind this position, which is JSON: a string, a number, or a list of them."""
        text = json.dumps([self.noun, position], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()

    def of(self, found: Sequence[T], position: Callable[[T], Any], show: Callable[[T], Item]) -> Listing[Item]:
        """A page of a list that is there whole, by ``position``: unique, and either all strings, or all lists."""
        ordered = sorted(found, key=position)
        if self.after is not None:
            try:
                ordered = [each for each in ordered if position(each) > self._like(position(each))]
            except TypeError:
                raise bad_cursor() from None
        return self.cut(ordered, position, show)

    def cut(self, found: Sequence[T], position: Callable[[T], Any], show: Callable[[T], Item]) -> Listing[Item]:
        """A page of what was read behind :attr:`after`, one more than ``limit`` where there are more."""
        shown = found[: self.limit]
        last = self.cursor(position(shown[-1])) if len(found) > self.limit else None
        return Listing(items=[show(each) for each in shown], next=last)

    def _like(self, position: Any) -> Any:
        return tuple(self.after) if isinstance(position, tuple) and isinstance(self.after, list) else self.after


def bad_cursor() -> Problem:
    """The cursor is none of this list's."""
    return Problem("bad-cursor", "the cursor is none that this list has answered", hint="begin without one")


def _page(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=MOST, description="Most items of the answer.")] = USUAL,
    cursor: Annotated[
        str | None, Query(min_length=1, max_length=LONGEST, description="What `next` of the page before has said.")
    ] = None,
) -> Page:
    noun = request.scope["route"].path
    if cursor is None:
        return Page(noun, limit)
    try:
        named, position = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, TypeError, RecursionError):
        raise bad_cursor() from None
    if named != noun or position is None:
        raise bad_cursor()
    return Page(noun, limit, position)


Paging = Annotated[Page, Depends(_page)]
"""The argument of every list: ``page: Paging``."""
