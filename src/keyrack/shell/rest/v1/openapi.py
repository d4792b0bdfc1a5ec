"""The description of the API (OpenAPI 3.1), made of the routes and of the table of problems."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.routing import compile_path

from keyrack.shell.rest.v1.problems import KINDS, MEDIA, Shown

REFERENCE: Final = "#/components/schemas/{model}"
ANYBODY: Final = (400, 406, 429, 431, 421, 500, 503)
"""What every call may answer."""
KNOWN: Final = (401, 403, 404)
"""What every call that wants a token may answer beside them."""
STRANGER: Final = (401, 404)
"""What a call that anybody may make may answer beside them: a wrong password, a thing that is not configured."""
BY_METHOD: Final[Mapping[str, tuple[int, ...]]] = {
    "get": (422,),
    "post": (202, 409, 412, 413, 415, 422),
    "put": (202, 409, 412, 413, 415, 422, 428),
    "patch": (202, 409, 412, 413, 415, 422, 428),
    "delete": (202, 409, 412, 422, 428),
}
_HEADERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "RequestId": {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Comes back in the answer and stands in log and journal, if it is of at most 100 letters, "
        "digits and ._:-; else a new one does.",
        "schema": {"type": "string"},
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Under the same key the same request is done once in 24 hours: its answer is repeated.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,100}$"},
    },
    "CsrfToken": {
        "name": "X-CSRF-Token",
        "in": "header",
        "description": "Where the cookie says who asks: what the log-in has answered beside it. Else it is not read.",
        "schema": {"type": "string"},
    },
}


def described(app: FastAPI) -> Mapping[str, Any]:
    """The document."""
    document = get_openapi(
        title="Keyrack administration",
        version="1.0.0",
        openapi_version="3.1.0",
        summary="Instances, client certificates, keys, people and the journal of a Keyrack deployment.",
        routes=app.routes,
    )
    for method, call in _calls(document["paths"]):
        _complete(method, call)
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    _, told = models_json_schema([(Shown, "serialization")], ref_template=REFERENCE)
    schemas["Problem"] = told["$defs"]["Shown"] | {"title": "Problem"}
    components["parameters"] = dict(_HEADERS)
    components["responses"] = {str(status): _problem(status) for status in sorted({k.status for k in KINDS.values()})}
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "An API key, or the token of a log-in."},
        "cookie": {"type": "apiKey", "in": "cookie", "name": "__Host-keyrack", "description": "A log-in's cookie."},
    }
    return document


def methods_at(app: FastAPI, path: str) -> list[str]:
    """The methods that a path takes; none where there is no such path."""
    return sorted(method.upper() for method in _methods(app, path))


def several_at(app: FastAPI, path: str, method: str) -> frozenset[str]:
    """What the query of a call may name more than once."""
    call = _methods(app, path).get(method.lower(), {})
    parameters = call.get("parameters", ())
    return frozenset(each["name"] for each in parameters if each.get("schema", {}).get("type") == "array")


def _methods(app: FastAPI, path: str) -> Mapping[str, Any]:
    paths: Mapping[str, Any] = app.state.description["paths"]
    found = [template for template in paths if _pattern(template).match(path)]
    if not found:
        return {}
    # What stands there word for word is nothing's identifier.
    methods: Mapping[str, Any] = paths[
        max(found, key=lambda template: [not each.startswith("{") for each in template.split("/")])
    ]
    return methods


@lru_cache(maxsize=1024)
def _pattern(template: str) -> re.Pattern[str]:
    return compile_path(template)[0]


def _calls(paths: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for methods in paths.values():
        yield from methods.items()


def _complete(method: str, call: dict[str, Any]) -> None:
    """What FastAPI cannot know: problems, common headers, and how somebody proves to be somebody."""
    guarded = not call.pop("x-open", False)
    summary, _, rest = call.get("description", "").partition("\n")
    call["summary"] = summary.removesuffix(".")
    call["description"] = rest.strip()
    statuses = {*ANYBODY, *BY_METHOD.get(method, ()), *(KNOWN if guarded else STRANGER)}
    told = {code: each for code, each in call["responses"].items() if not _is_fastapis(each)}
    own = {code: each for code, each in told.items() if code[0] in "23" or "content" in each}
    # A status that a route tells without a body is a problem of the common form.
    statuses |= {int(code) for code in told.keys() - own.keys()}
    call["responses"] = {
        **{str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(statuses)},
        **own,
    }
    for response in own.values():
        response.setdefault("headers", {})["X-Request-Id"] = _header("Of the request, or a new one.")
    parameters = [_without_null(each) for each in call.get("parameters", ())]
    parameters.append({"$ref": "#/components/parameters/RequestId"})
    if guarded and method == "post":
        parameters.append({"$ref": "#/components/parameters/IdempotencyKey"})
    if guarded and method != "get":
        parameters.append({"$ref": "#/components/parameters/CsrfToken"})
    call["parameters"] = parameters
    if guarded:
        call["security"] = [{"token": []}, {"cookie": []}]


def _is_fastapis(response: Mapping[str, Any]) -> bool:
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    return str(schema.get("$ref", "")).endswith("/HTTPValidationError")


def _problem(status: int) -> dict[str, Any]:
    codes = [code for code, kind in KINDS.items() if kind.status == status]
    headers = {"X-Request-Id": _header("Of the request, or a new one.")}
    if status in (429, 503):
        headers["Retry-After"] = _header("Seconds after which to come again.")
    return {
        "description": f"{HTTPStatus(status).phrase}: {', '.join(codes)}",
        "headers": headers,
        "content": {MEDIA: {"schema": {"$ref": REFERENCE.format(model="Problem")}}},
    }


def _header(meaning: str) -> dict[str, Any]:
    return {"description": meaning, "schema": {"type": "string"}}


def _without_null(parameter: dict[str, Any]) -> dict[str, Any]:
    """A parameter that may be missing is never ``null``: there is no null in a query."""
    schema = parameter.get("schema", {})
    kinds = [kind for kind in schema.get("anyOf", ()) if kind.get("type") != "null"]
    if len(kinds) == 1:
        parameter["schema"] = {name: value for name, value in schema.items() if name != "anyOf"} | kinds[0]
    if str(parameter.get("name", "")).lower() == "if-match":
        parameter["required"] = True
    return parameter
