"""How a call of the API is declared: one decorator gives route, refusals, journal's action and OpenAPI entry.

A router is one file for one noun::

    router = APIRouter(tags=["key rings"])

    @operation(router, "GET", "/key_rings", action="kms.key-rings.list", failure="Key rings could not be listed",
               answer=KeyRings, refusals=(409,))
    async def list_key_rings(desk: AtDesk, page: Annotated[Paging, paging(100)]) -> Answer:
        "List key rings. - the first line is the summary, the rest the description"
        found, total = await desk.act(rings.rings, page.limit, page.offset)
        return Answer(collection("key_ring", [...], total=page.told(total)))

- ``desk.act(use_case, *arguments)`` runs ``use_case(house, call, *arguments)`` in a thread; refusals go up from there.
- ``await desk.body(Model)`` is the checked body (:mod:`bodies`), ``desk.maybe_body(Model)`` where it may be missing.
- The function's name becomes the operation's identifier: take the one of IBM's SDK.
- Query parameters are ordinary arguments, ``Annotated[int, Query(ge=1)]``; path parameters are arguments of their name.
- Every call may answer 400, 401, 403, 429, 500 and 503; ``refusals`` are those beside them.
- ``app.py`` includes the router.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, TypeVar

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel
from starlette.requests import Request

from keyrack.shell.rest.key_protect.bodies import Body
from keyrack.shell.rest.key_protect.envelope import JSON

Function = TypeVar("Function", bound=Callable[..., Any])
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

LARGEST: Final = 2**31 - 1
"""Of an offset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is told of one call."""

    action: str
    """The action of IAM and of the journal."""
    failure: str
    """What a refusal means: ``"Key could not be created"``."""
    answer: type[BaseModel] | None = None
    """The body of a success; ``None`` where there is none."""
    status: int = 200
    media: str = JSON
    body: type[Body] | None = None
    body_media: str = JSON
    needs_body: bool = True
    also: tuple[int, ...] = ()
    """Other statuses of a success, without a body."""
    refusals: tuple[int, ...] = ()
    query: tuple[Mapping[str, Any], ...] = ()
    """Query parameters that the call reads by itself, as OpenAPI has them."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of a success, each with its meaning."""
    signed_in: bool = True
    """Whether it wants a token and the header ``Bluemix-Instance``."""


_TOLD: dict[Callable[..., Any], Told] = {}


def operation(
    router: APIRouter, method: Method, path: str, *, deprecated: bool = False, **told: Any
) -> Callable[[Function], Function]:
    """Add a call to a router; ``told`` are the fields of :class:`Told`."""

    def add(function: Function) -> Function:
        _TOLD[function] = Told(**told)
        summary, _, description = (function.__doc__ or "").strip().partition("\n")
        router.add_api_route(
            path,
            function,
            methods=[method],
            status_code=told.get("status", 200),
            response_model=None,
            summary=summary.rstrip("."),
            description=" ".join(description.split()),
            operation_id=function.__name__,
            deprecated=deprecated or None,
        )
        return function

    return add


def told_by_name(name: str) -> Told:
    """What was told of the call of this identifier."""
    return next(told for function, told in _TOLD.items() if function.__name__ == name)


def called(request: Request) -> Told | None:
    """What was told of the call that a request makes; ``None`` where it makes none."""
    function = request.scope.get("endpoint")
    return None if function is None else _TOLD.get(function)


@dataclass(frozen=True, slots=True)
class Paging:
    """Which part of a list is wanted."""

    limit: int
    offset: int
    total_count: bool

    def told(self, total: int) -> int | None:
        """How many there are in all, where that was asked."""
        return total if self.total_count else None


def paging(default: int = 200, most: int = 5000) -> Any:
    """What reads ``limit``, ``offset`` and ``totalCount``: ``Annotated[Paging, paging()]``."""

    def read(
        limit: Annotated[int, Query(ge=1, le=most, description="Most resources in the answer.")] = default,
        offset: Annotated[int, Query(ge=0, le=LARGEST, description="How many are left out before the first.")] = 0,
        total_count: Annotated[
            bool, Query(alias="totalCount", description="Whether the metadata say how many there are in all.")
        ] = False,
    ) -> Paging:
        return Paging(limit, offset, total_count)

    return Depends(read)


Force = Annotated[bool, Query(description="Do it although something depends on it.")]
