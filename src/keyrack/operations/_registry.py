"""One row for each operation: decoding, dispatch, authorisation, Query and the reference page all read this table."""

import inspect
import typing
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from keyrack.domain.access import Permission
from keyrack.spec.enumerations import Operation

Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Any]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An operation that is built."""

    operation: Operation
    needs: Permission
    request: type
    """The request payload's class."""
    response: type
    """The response payload's class."""
    handle: Callable[..., Awaitable[Any]]
    targeted: bool
    """Whether the handler takes the object that the payload's Unique Identifier, or the ID Placeholder, means."""


OPERATIONS: dict[int, Row] = {}
"""Every operation that is built, by its number; anything else answers Operation Not Supported."""


def operation(number: Operation, *, needs: Permission) -> Callable[[Handler], Handler]:
    """Enter a handler into :data:`OPERATIONS`; its signature says the rest.

    The handler is ``async def verb(request: VerbRequest[, target: ManagedObject], context: Context) -> VerbResponse``.
    """

    def enter(handle: Handler) -> Handler:
        hints = typing.get_type_hints(handle)
        parameters = list(inspect.signature(handle).parameters)
        if parameters not in (["request", "context"], ["request", "target", "context"]):
            raise TypeError(f"{handle.__qualname__}: a handler takes request, perhaps target, and context")
        if number in OPERATIONS:
            raise TypeError(f"{number.title} has a handler already")
        OPERATIONS[number] = Row(
            operation=number,
            needs=needs,
            request=hints["request"],
            response=hints["return"],
            handle=handle,
            targeted="target" in parameters,
        )
        return handle

    return enter
