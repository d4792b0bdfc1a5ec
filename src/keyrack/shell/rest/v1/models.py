"""What the bodies of all nouns have in common."""

import re
from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, Strict, StringConstraints

from keyrack.domain.moments import rfc3339


def _no_number(told: Any) -> Any:
    if not isinstance(told, str) or not re.match(r"\d{4}-\d\d-\d\d", told):
        raise ValueError("it is no time; write for example 2026-11-22T17:30:00Z")
    return told


class Body(BaseModel):
    """What comes in: nothing that is not told. Take :data:`Whole` and :data:`Flag` in the place of int and bool."""

    model_config = ConfigDict(extra="forbid")


class Resource(BaseModel):
    """What goes out."""

    model_config = ConfigDict(extra="forbid")


Whole = Annotated[int, Strict()]
"""A number; neither text nor true and false are taken for one."""
Flag = Annotated[bool, Strict()]
"""True or false; nothing else is taken for it."""
Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""A time, as RFC 3339 in UTC has it."""
Written = Annotated[datetime, BeforeValidator(_no_number)]
"""A time that comes in, as RFC 3339 has it; a bare number is none, though others read it as seconds."""
Zoned = Annotated[AwareDatetime, BeforeValidator(_no_number)]
"""The same, with a zone."""
InstanceName = Annotated[
    str, Path(alias="instance", min_length=1, max_length=63, description="Identifier or name of the instance.")
]
"""The path parameter ``{instance}``."""
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Text = Annotated[str, StringConstraints(max_length=1000)]
Confirmation = Annotated[
    str | None,
    Query(max_length=200, description="The words that `confirmation-needed` has asked for."),
]
"""The query parameter ``confirmation`` of a DELETE; a POST has it in its body."""


def instant(seconds: int | None) -> str | None:
    """Seconds since 1970 as RFC 3339 has them."""
    return None if seconds is None else since(seconds)


def since(seconds: int) -> str:
    """The same where there is one."""
    return rfc3339(seconds)


def given(body: BaseModel) -> dict[str, Any]:
    """The fields of a PATCH that were sent; what was not stays as it is."""
    return body.model_dump(exclude_unset=True)
