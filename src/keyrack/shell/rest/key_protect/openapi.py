"""The description of the API (OpenAPI 3.1), made of what the calls tell of themselves."""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.routing import compile_path

from keyrack.shell.rest.key_protect.calls import Told, told_by_name
from keyrack.shell.rest.key_protect.envelope import JSON
from keyrack.shell.rest.key_protect.resources import Errors, TokenError

REFERENCE: Final = "#/components/schemas/{model}"
ALWAYS: Final = (400, 401, 403, 429, 500, 503)
"""What every call of a key manager instance may answer."""
WITHOUT_TOKEN: Final = (429, 500)

_UUID: Final = {
    "type": "string",
    "pattern": "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$",
}
_HEADERS: Final = {
    "BluemixInstance": ("Bluemix-Instance", True, "The key manager instance.", _UUID),
    "KeyRing": (
        "X-Kms-Key-Ring",
        False,
        "The key ring to look in, or to create in; without it all, or the default one.",
        {"type": "string", "pattern": "^[A-Za-z0-9_-]{0,100}$"},
    ),
    "Correlation": (
        "Correlation-Id",
        False,
        "Comes back in the answer and stands in log and journal: up to 100 letters, digits and ._:- of it.",
        {"type": "string"},
    ),
    "Prefer": (
        "Prefer",
        False,
        "How much of a key is answered: return=minimal or return=representation; anything else counts for nothing.",
        {"type": "string"},
    ),
}


def described(app: FastAPI) -> Mapping[str, Any]:
    """The document."""
    document = get_openapi(
        title=app.title,
        version="2.0.0",
        openapi_version="3.1.0",
        summary="The IBM Key Protect API v2, served by Keyrack's embedded key manager.",
        routes=app.routes,
    )
    models: dict[type[BaseModel], str] = {Errors: "serialization", TokenError: "serialization"}
    for path, method, told in _calls(document["paths"]):
        call = document["paths"][path][method]
        call["responses"] = dict(_responses(path, told))
        call["parameters"] = [
            *(_without_null(each) for each in call.get("parameters", ())),
            *told.query,
            *_header_parameters(told, method, path),
        ]
        if told.signed_in:
            call["security"] = [{"token": []}]
        if told.body is not None:
            models[told.body] = "validation"
            call["requestBody"] = _request_body(told)
        elif path.endswith("/token"):
            call["requestBody"] = _FORM
        if told.answer is not None:
            models[told.answer] = "serialization"
    document["components"] = _components(models)
    _link(document["paths"])
    return document


def _calls(paths: Mapping[str, Any]) -> Iterator[tuple[str, str, Told]]:
    for path, methods in paths.items():
        for method, call in methods.items():
            yield path, method, told_by_name(call["operationId"])


def methods_of(app: FastAPI, path: str) -> list[str]:
    """The methods that a path takes; none where there is no such path."""
    paths = app.state.description["paths"]
    # What stands there word for word is nothing's identifier.
    meant = [path] if path in paths else [each for each in paths if compile_path(each)[0].match(path)]
    return sorted({method.upper() for each in meant for method in paths[each]})


def _responses(path: str, told: Told) -> Iterator[tuple[str, dict[str, Any]]]:
    headers = {name: _header(meaning) for name, meaning in told.headers.items()}
    correlation = {"correlation-id": _header("Of the request, or a new one.")}
    success: dict[str, Any] = {"description": "Done", "headers": headers | correlation}
    if told.answer is not None:
        success["content"] = {told.media: {"schema": _reference(told.answer)}}
    yield str(told.status), success
    for status in told.also:
        yield str(status), {"description": HTTPStatus(status).phrase, "headers": correlation}
    of_iam = path.endswith("/token")
    for status in sorted({*(ALWAYS if told.signed_in else WITHOUT_TOKEN), *told.refusals}):
        extra = {"retry-after": _header("Seconds after which to come again.")} if status in (429, 503) else {}
        own = of_iam and status in (400, 413)
        schemas = [_reference(TokenError)] if own else [_reference(Errors)]
        if of_iam and status == 429:
            schemas.append(_reference(TokenError))
        schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
        yield (
            str(status),
            {
                "description": HTTPStatus(status).phrase,
                "headers": correlation | extra,
                "content": {JSON: {"schema": schema}},
            },
        )


def _link(paths: Mapping[str, Any]) -> None:
    """Tell that what a call creates is what the calls below its path are about."""
    for path, methods in paths.items():
        created = methods.get("post", {}).get("responses", {}).get("201")
        if created is None or "content" not in created or "{" in path:
            continue
        below = f"{path.removesuffix('_with_policy_overrides')}/{{"
        for deeper, calls in paths.items():
            if deeper.startswith(below):
                parameter = deeper.removeprefix(below).partition("}")[0]
                for call in calls.values():
                    created.setdefault("links", {})[call["operationId"]] = {
                        "operationId": call["operationId"],
                        "parameters": {parameter: "$response.body#/resources/0/id"},
                    }


def _header(meaning: str) -> dict[str, Any]:
    return {"description": meaning, "schema": {"type": "string"}}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REFERENCE.format(model=model.__name__)}


def _without_null(parameter: dict[str, Any]) -> dict[str, Any]:
    """A parameter that may be missing is never ``null``: there is no null in a query."""
    schema = parameter["schema"]
    kinds = [kind for kind in schema.get("anyOf", ()) if kind.get("type") != "null"]
    if len(kinds) == 1:
        parameter["schema"] = {name: value for name, value in schema.items() if name != "anyOf"} | kinds[0]
    return parameter


def _header_parameters(told: Told, method: str, path: str) -> Iterator[dict[str, str]]:
    names = ["Correlation"]
    if told.signed_in:
        names += ["BluemixInstance"]
        if "/key_rings" not in path and "/kmip_adapters" not in path:
            names.append("KeyRing")
        if told.media != JSON or method == "delete":
            names.append("Prefer")
    for name in names:
        yield {"$ref": f"#/components/parameters/{name}"}


def _request_body(told: Told) -> dict[str, Any]:
    assert told.body is not None
    schema: dict[str, Any] = _reference(told.body)
    if not told.needs_body:
        schema = {"anyOf": [schema, {"type": "null"}]}
    media = dict.fromkeys((told.body_media, JSON), {"schema": schema})
    return {"required": told.needs_body, "content": media}


_FORM: Final = {
    "required": True,
    "content": {
        "application/x-www-form-urlencoded": {
            "schema": {
                "type": "object",
                "required": ["grant_type", "apikey"],
                "properties": {
                    "grant_type": {"type": "string", "enum": ["urn:ibm:params:oauth:grant-type:apikey"]},
                    "apikey": {"type": "string", "minLength": 1},
                    "response_type": {"type": "string"},
                },
            }
        }
    },
}


def _components(models: Mapping[type[BaseModel], str]) -> dict[str, Any]:
    _, schemas = models_json_schema(
        [(model, mode) for model, mode in models.items()],  # type: ignore[misc]  # a str that is a Literal
        ref_template=REFERENCE,
    )
    return {
        "schemas": schemas["$defs"],
        "parameters": {
            key: {"name": name, "in": "header", "required": required, "description": meaning, "schema": schema}
            for key, (name, required, meaning, schema) in _HEADERS.items()
        },
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
    }
