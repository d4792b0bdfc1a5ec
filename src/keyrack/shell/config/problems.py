"""What is wrong with a configuration, all of it at once, one line for each mistake: where, what, why, what instead."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake, told to whoever can mend it."""

    where: str
    what: str
    why: str
    instead: str
    """Empty where ``why`` says it already."""

    def __str__(self) -> str:
        told = f"{self.where}: {self.what}: {self.why}"
        return f"{told}; {self.instead}" if self.instead else told


class ConfigError(Exception):
    """A configuration that cannot be used; ``problems`` holds every mistake that was found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


INSTEAD: Mapping[tuple[str, ...], str] = {
    ("deployment",): 'begin the file with [deployment] and id = "keyrack-1"',
    ("deployment", "id"): 'write for example id = "keyrack-1"',
    ("kmip", "host"): 'write an address of this machine, for example host = "0.0.0.0"',
    ("kmip", "port"): "write a port from 1 to 65535, for example port = 5696",
    ("catalog", "url"): 'write url = "sqlite:///catalog.db", or url = "postgresql://keyrack@HOST/keyrack" and the '
    "password into catalog.password_file",
    ("key_managers",): 'write a table [key_managers.embedded] with type = "embedded"',
    ("key_managers", "*", "type"): 'write type = "embedded", "key_protect" or "hpcs"',
    ("key_managers", "*", "iam"): 'write a table [key_managers.NAME.iam] with api_key_file = "ibm.key"',
    ("key_managers", "*", "iam", "api_key_credential"): 'write a name as in LoadCredential=, for example "ibm.key"',
    (
        "key_managers",
        "*",
        "deleting",
        "api_key_credential",
    ): 'write a name as in LoadCredential=, for example "ibm.key"',
    ("integrity", "credential"): 'write a name as in LoadCredential=, for example "integrity.key"',
    ("cache", "mode"): 'write "lease" or "off"',
    ("key_managers", "*"): 'write a table [key_managers.NAME] with type = "embedded", "key_protect" or "hpcs"',
    ("key_managers", "*", "unlock"): 'write one of them, for example unlock = { key_file = "keystore.key" }',
    ("key_managers", "*", "unlock", "credential"): 'write a name as in LoadCredential=, for example "keystore.key"',
    ("key_managers", "*", "hsm"): 'write library, token and for example pin_file = "hsm.pin"',
    ("key_managers", "*", "waits"): "write for example restore_days = 30 and purge_days = 90",
    ("key_manager_api", "host"): 'write an address of this machine, for example host = "127.0.0.1"',
    ("key_manager_api", "port"): "write a port from 1 to 65535, for example port = 8444",
    ("key_manager_api", "network"): 'write "private" or "public"',
    ("log", "level"): 'write one of "debug", "info", "warning", "error"',
    ("log", "format"): 'write one of "auto", "json", "console"',
}
"""What to write, for keys whose rule is not a plain range; ``*`` is a name that the user chose."""
_NAME_INSTEAD = "write a name such as the one in [key_managers.embedded]"

WORDS: Mapping[str, str] = {
    "missing": "it is needed",
    "int_parsing": "it is not a whole number",
    "int_type": "it is not a whole number",
    "int_from_float": "it is not a whole number",
    "float_parsing": "it is not a number",
    "float_type": "it is not a number",
    "bool_parsing": "it is neither true nor false",
    "bool_type": "it is neither true nor false",
    "string_type": "it is not text in quotation marks",
    "path_type": "it is not a path in quotation marks",
    "model_type": "it is not a table",
    "model_attributes_type": "it is not a table",
    "dict_type": "it is not a table",
    "too_short": "there is none",
    "string_pattern_mismatch": "it has other characters than lower-case letters, digits and hyphens",
}


def mistake(told: str, instead: str, *, secret: bool = False) -> PydanticCustomError:
    """A mistake that says itself what to write instead; a ``secret`` value is not repeated when it is told."""
    return PydanticCustomError("mistake", "{told}", {"told": told, "instead": instead, "secret": secret})


def problems_of(error: ValidationError, file: str, sources: Mapping[tuple[str, ...], str]) -> list[Problem]:
    """Every mistake that pydantic found, in the words of the file's author; values of secrets are never repeated."""
    return [_problem(dict(detail), file, sources) for detail in error.errors(include_url=False)]


def _problem(detail: Mapping[str, Any], file: str, sources: Mapping[tuple[str, ...], str]) -> Problem:
    location, type_ = _location(detail)
    variable = next((name for key, name in sources.items() if key[: len(location)] == location), None)
    where = f"{variable} (environment)" if variable else f"{file}: {'.'.join(location)}".rstrip(": ")
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        known = _fields_at(location[:-1], type_)
        near = get_close_matches(location[-1], known, n=1)
        instead = f"write {near[0]!r}" if near else f"use one of {', '.join(known)}"
        return Problem(where=where, what="unknown key", why="no setting has this name", instead=instead)
    if kind in ("missing", "union_tag_not_found"):
        instead = _instead(location, type_)
        return Problem(where=where, what="missing", why="it is needed and has no default", instead=instead)
    if "instead" in context:
        instead = str(context["instead"])
    else:
        instead = _NAME_INSTEAD if detail["loc"][-1] == "[key]" else _instead(location, type_)
    found = context.get("tag", detail["input"])
    tellable = _tellable(found) and not context.get("secret")
    what = f"{found!r} cannot be used" if tellable else "cannot be used"
    return Problem(where=where, what=what, why=_why(kind, detail), instead=instead)


def _location(detail: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """The keys that lead to a mistake, and the type of key manager on the way, which stands between them there."""
    steps, type_ = tuple(str(step) for step in detail["loc"] if step != "[key]"), ""
    if len(steps) > 2 and steps[0] == "key_managers":
        type_, steps = steps[2], steps[:2] + steps[3:]
    if detail["type"].startswith("union_tag"):
        steps += ("type",)
    return steps, type_


def _why(kind: str, detail: Mapping[str, Any]) -> str:
    context = detail.get("ctx", {})
    bounds = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"}
    if kind in bounds:
        side = "more than" if kind.startswith("less") else "at most" if kind == "greater_than" else "less than"
        return f"it is {side} {context[bounds[kind]]}"
    if kind == "literal_error":
        return f"it is not {context['expected']}"
    if kind == "union_tag_invalid":
        *others, last = context["expected_tags"].split(", ")
        return f"it is not {', '.join(others)} or {last}"
    return WORDS.get(kind, str(detail["msg"]))


def _instead(location: tuple[str, ...], type_: str) -> str:
    general = tuple(
        "*" if index == 1 and location[0] == "key_managers" else step for index, step in enumerate(location)
    )
    if general in INSTEAD:
        return INSTEAD[general]
    field = _field_at(location, type_)
    if field is None:
        return "see docs/configuration.md"
    default = field.get_default(call_default_factory=True)
    example = (field.examples or [default])[0]
    return (
        f"write for example {location[-1]} = {_toml(example)}" if example is not None else "see docs/configuration.md"
    )


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else f'"{value}"'


def _tellable(value: Any) -> bool:
    if isinstance(value, str):
        # What looks like an API key or a token is somebody's secret in the wrong place.
        return len(value) <= 80 and not _LIKE_A_SECRET.fullmatch(value)
    return isinstance(value, bool | int | float)


_LIKE_A_SECRET = re.compile(r"[A-Za-z0-9_-]{40,}")


def _model_at(location: tuple[str, ...], type_: str) -> type[BaseModel] | None:
    # The models name this room's errors.
    from keyrack.shell.config.whole import KEY_MANAGER_TABLES, Config  # noqa: PLC0415

    model: type[BaseModel] | None = Config
    for index, step in enumerate(location):
        if index == 1 and location[0] == "key_managers":
            model = KEY_MANAGER_TABLES.get(type_)
        elif step != "key_managers" and model is not None:
            field = model.model_fields.get(step)
            # A table that may be absent is written Table | None.
            found = [] if field is None else [field.annotation, *get_args(field.annotation)]
            models = [each for each in found if isinstance(each, type) and issubclass(each, BaseModel)]
            model = models[0] if models else None
    return model


def _fields_at(location: tuple[str, ...], type_: str) -> list[str]:
    model = _model_at(location, type_)
    return list(model.model_fields) if model else []


def _field_at(location: tuple[str, ...], type_: str) -> Any:
    model = _model_at(location[:-1], type_)
    return model.model_fields.get(location[-1]) if model else None
