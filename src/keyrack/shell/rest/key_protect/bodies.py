"""Bodies of requests, as their JSON is: the one description of each, for the checks and for the OpenAPI document.

Names are matched in any case, ``null`` and, for optional strings, ``""`` stand for nothing: IBM's clients in Go send
both. Key material is a :class:`Secret` from the moment it is read; no model keeps it as text. A new body is a class
below :class:`Body` with a docstring, its field names being those of the API (``alias`` where Python wants another).
"""

import binascii
from functools import cache
from typing import Annotated, Any, Final, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainValidator,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError

from keyrack.domain.secret import Secret
from keyrack.embedded.errors import (
    BadBody,
    CollectionTotalMismatch,
    InvalidField,
    NumCollectionResource,
    Refusal,
)
from keyrack.shell.rest.key_protect.envelope import vendor
from keyrack.shell.rest.key_protect.intake import Vault, is_base64

BASE64: Final = {
    "type": "string",
    "contentEncoding": "base64",
    "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$",
}


def _secret(value: Any, info: ValidationInfo) -> Secret:
    if not isinstance(value, str) or not isinstance(info.context, Vault):
        raise PydanticCustomError("wrong_type", "a string")
    try:
        return info.context.take(value)
    except InvalidField as error:
        raise PydanticCustomError("base64", "{what}", {"what": str(error)}) from None


def _octets(value: Any) -> bytes:
    if not isinstance(value, str):
        raise PydanticCustomError("wrong_type", "a string")
    if not value.isascii() or not is_base64(value.encode()):
        raise PydanticCustomError("base64", "base64")
    return binascii.a2b_base64(value)


Material = Annotated[Secret, PlainValidator(_secret), WithJsonSchema(BASE64)]
"""Base64 of key material."""
Octets = Annotated[bytes, PlainValidator(_octets), WithJsonSchema(BASE64)]
"""Base64 of anything that is no secret."""
Text = StrictStr
Whole = StrictInt
Flag = StrictBool


class Body(BaseModel):
    """A JSON object of a request."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True, validate_by_alias=True
    )

    @model_validator(mode="before")
    @classmethod
    def _lenient(cls, value: Any) -> Any:
        """Fold the names, and leave out what stands for nothing."""
        if not isinstance(value, dict):
            return value
        names = _names(cls)
        told: dict[str, Any] = {}
        for name, inner in value.items():
            known, empty = names.get(name.lower(), (name, ()))
            if inner is None and None in empty or inner == "" and "" in empty:
                continue
            told[known] = inner
        return told

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The schema, with the leniency told: what is optional may be null, and a string of that kind empty."""
        reference = handler(core_schema)
        schema = handler.resolve_ref_schema(reference)
        for name, told in schema.get("properties", {}).items():
            if name not in schema.get("required", ()):
                _may_be_nothing(told)
        return reference

    @classmethod
    def of(cls, value: Any, vault: Vault) -> Self:
        """The body that JSON says; raises the refusal that IBM's API would."""
        try:
            return cls.model_validate(value, context=vault)
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
        # Outside of the handler: pydantic's own error holds what came in, and must not be chained.
        raise min((_refusal(each) for each in details), key=lambda refusal: not isinstance(refusal, BadBody))


@cache
def _names(kind: type[Body]) -> dict[str, tuple[str, tuple[str | None, ...]]]:
    """Every name in lower case, with its spelling and what stands for nothing there."""
    schema = kind.model_json_schema()
    return {
        name.lower(): (name, _empty(told) if name not in schema.get("required", ()) else ())
        for name, told in schema["properties"].items()
    }


def _may_be_nothing(told: dict[str, Any]) -> None:
    kinds = told.setdefault("anyOf", [])
    if not kinds:
        about = {"title", "description", "default", "anyOf"}
        kinds.append({name: told.pop(name) for name in set(told) - about})
    if not any(kind.get("type") == "null" for kind in kinds):
        kinds.append({"type": "null"})
    if any(kind.get("type") == "string" for kind in kinds):
        kinds.append({"type": "string", "maxLength": 0})


def _empty(told: dict[str, Any]) -> tuple[str | None, ...]:
    kinds = told.get("anyOf", [told])
    return (None, "") if any(kind.get("type") == "string" for kind in kinds) else (None,)


_WRONG_TYPE: Final = {
    "wrong_type": "of another type",
    "string_type": "a string",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "list_type": "an array",
    "model_type": "an object",
    "dict_type": "an object",
}


def _refusal(detail: ErrorDetails) -> Refusal:
    """What pydantic objects to, in IBM's terms; nothing of the value is said."""
    place = [part for part in detail["loc"] if isinstance(part, str)]
    name = place[-1] if place else "body"
    kind = detail["type"]
    if kind == "extra_forbidden":
        return BadBody(
            f"Invalid body data was passed. Please ensure the data passed had valid formatting with no invalid "
            f'characters: json: unknown field "{name[:100]}"'
        )
    if kind in ("model_type", "model_attributes_type") and not place:
        return BadBody("Invalid body data was passed: the body must be a JSON object")
    if kind == "missing":
        return InvalidField(f"The field `{name}` is required", target=("field", name))
    if kind in _WRONG_TYPE:
        return BadBody(f"Invalid body data was passed: the field `{name}` must be {_WRONG_TYPE[kind]}")
    return InvalidField(f"The field `{name}` must be: {_wanted(detail)}", target=("field", name))


def _wanted(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "string_too_short" | "too_short":
            return f"at least {context['min_length']} long"
        case "string_too_long" | "too_long":
            return f"at most {context['max_length']} long"
        case "greater_than_equal":
            return f"at least {context['ge']}"
        case "less_than_equal":
            return f"at most {context['le']}"
        case "base64" | "enum" | "literal_error":
            return str(context.get("what") or context.get("expected") or "base64 encoded")
    return "of its documented form"


class Metadata(Body):
    """What describes the array of resources."""

    collection_type: Text = Field(alias="collectionType", description="The media type of the resources.")
    collection_total: Whole = Field(alias="collectionTotal", ge=0, description="Number of resources.")


class Collection(Body):
    """Resources with their metadata. A subclass says what ``resources`` are, ``told`` how many of which kind."""

    metadata: Metadata
    resources: list[Any]

    @classmethod
    def told(cls) -> tuple[str, int] | None:
        """The kind of the resources and the most of them, for the OpenAPI document."""
        return None

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """What :meth:`check` asks, as a schema."""
        reference = super().__get_pydantic_json_schema__(core_schema, handler)
        schema = handler.resolve_ref_schema(reference)
        if (told := cls.told()) is not None:
            kind, most = told
            total = {"type": "integer", "minimum": 1, "maximum": most}
            schema["properties"]["metadata"] = {
                "type": "object",
                "required": ["collectionType", "collectionTotal"],
                "properties": {"collectionType": {"const": vendor(kind)}, "collectionTotal": total},
                "additionalProperties": False,
            }
            schema["properties"]["resources"] |= {"minItems": 1, "maxItems": most}
        return reference

    def check(self, kind: str, *, most: int = 1) -> None:
        """Return when the metadata describe at least one and at most ``most`` resources of ``kind``."""
        if self.metadata.collection_type != vendor(kind):
            raise InvalidField(
                f"The field `collectionType` must be: {vendor(kind)}", target=("field", "collectionType")
            )
        if self.metadata.collection_total != len(self.resources):
            raise CollectionTotalMismatch(
                "The `collectionTotal` in the metadata does not match the number of resources",
                target=("field", "collectionTotal"),
            )
        if not 1 <= len(self.resources) <= most:
            wanted = "one resource" if most == 1 else f"1 to {most} resources"
            raise NumCollectionResource(f"The request takes {wanted}", target=("field", "resources"))


B = TypeVar("B", bound=Body)
