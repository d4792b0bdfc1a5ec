"""Writes the reference pages from the tables that the program itself runs on: ``make docs``.

A test compares what stands in ``docs/`` with what this writes, so a page can never tell of another program.
"""

import dataclasses
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

import keyrack.operations  # noqa: F401 - enters the verbs into the registry
from keyrack.domain import lifecycle as table
from keyrack.domain import rights as people_rights
from keyrack.domain.cadf_actions import UNROUTED
from keyrack.domain.cadf_actions import markdown as acts_of_the_journal
from keyrack.embedded.iam.rights import MATRIX, WHOLE_INSTANCE, Right, Role
from keyrack.operations._registry import OPERATIONS, Row
from keyrack.shell.config.catalog import own_name
from keyrack.shell.config.whole import Config
from keyrack.shell.metrics import table as metrics_table
from keyrack.spec.attributes import ATTRIBUTES, AttributeWord
from keyrack.spec.enumerations import ObjectType, Operation
from keyrack.spec.types import Since
from keyrack.testing import cli_page, outcome_page, rest_page

Told = tuple[tuple[str, ...], type[BaseModel]]
"""A table that was told: where it stands, and what it is."""
HERE = Path(__file__).parent
NOTICE = "<!-- Written by docs/generate.py; change the program, then run `make docs`. -->\n"


def configuration() -> str:
    """Every key of the configuration, from the models that check it."""
    lines = [
        "# Configuration",
        "",
        "One TOML file. It is looked for as `$KEYRACK_CONFIG`, `./keyrack.toml`, `~/.config/keyrack/keyrack.toml` and",
        "`/etc/keyrack/keyrack.toml`; `--config FILE` names one. `keyrack init` writes it.",
        "Every key is overridden by an environment variable of its name: `[kmip.limits] connections` by",
        "`KEYRACK_KMIP__LIMITS__CONNECTIONS`. Relative paths are relative to `deployment.directory`.",
        "",
    ]
    return "\n".join([*lines, *_table_of(Config, ())]).rstrip() + "\n"


def _table_of(model: type[BaseModel], path: tuple[str, ...], told: set[Told] | None = None) -> Iterator[str]:
    told = set() if told is None else told
    # Tables that several kinds of key managers have alike stand with the first of them.
    if (path, model) in told:
        return
    told.add((path, model))
    rows = [(name, field) for name, field in model.model_fields.items() if not _models_of(field)]
    rows.sort(key=lambda row: row[0] != "type")
    if path:
        # A table that may stand there several times has two brackets.
        named = ".".join(each.strip("[]") for each in path)
        yield f"## `{f'[[{named}]]' if path[-1].startswith('[') else f'[{named}]'}`{_of_type(model)}"
        yield ""
        yield _sentence(model)
        yield ""
    if rows:
        yield "| key | type | default | meaning |"
        yield "| --- | --- | --- | --- |"
        for name, field in rows:
            yield f"| `{name}` | {_kind(field)} | {_default(field)} | {field.description} |"
        yield ""
    for name, field in model.model_fields.items():
        kind = typing.get_origin(_bare(field.annotation))
        below = (*path, name, "NAME") if kind is dict else (*path, f"[{name}]" if kind is list else name)
        for inner in _models_of(field):
            yield from _table_of(inner, below, told)


def _of_type(model: type[BaseModel]) -> str:
    """What tells the tables of several kinds of key managers apart, which have the same name."""
    field = model.model_fields.get("type")
    return f", type {_kind(field)}" if field is not None else ""


def _bare(annotation: Any) -> Any:
    while typing.get_origin(annotation) in (Annotated, types.UnionType, typing.Union):
        annotation = next(each for each in typing.get_args(annotation) if each is not type(None))
    return annotation


def _models_of(field: FieldInfo) -> list[type[BaseModel]]:
    """The tables that may stand there; none where a plain value does."""
    annotation = _bare(field.annotation)
    if typing.get_origin(annotation) in (dict, list):
        annotation = typing.get_args(annotation)[-1]
        while typing.get_origin(annotation) is Annotated:
            annotation = typing.get_args(annotation)[0]
        choices = typing.get_args(annotation) or (annotation,)
    else:
        choices = (annotation,)
    return [each for each in choices if isinstance(each, type) and issubclass(each, BaseModel)]


def _kind(field: FieldInfo) -> str:
    annotation = _bare(field.annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return ", ".join(f'`"{choice}"`' for choice in typing.get_args(annotation))
    if typing.get_origin(annotation) is tuple:
        return "list of texts"
    name = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}[annotation]
    bounds = {
        kind: _number(getattr(rule, kind))
        for rule in field.metadata
        for kind in ("gt", "ge", "le")
        if hasattr(rule, kind)
    }
    if "le" not in bounds:
        return name
    return f"{name}, {bounds['ge']} to {bounds['le']}" if "ge" in bounds else f"{name}, to {bounds['le']}"


def _number(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:.3g}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    if field.default_factory is own_name:
        return "the host's name"
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return "`[" + ", ".join(f'"{each}"' for each in value) + "]`"
    return f"`{value}`" if isinstance(value, int | float) else f'`"{value}"`'


def operations() -> str:
    """Every operation of KMIP 1.0 to 1.4: what is built, with its payloads, and what is not."""
    lines = [
        "# Operations",
        "",
        "What Keyrack does of KMIP 1.0 to 1.4. Fields marked with a version are read and written from that version on.",
        "",
    ]
    for row in sorted(OPERATIONS.values(), key=lambda row: int(row.operation)):
        lines += _operation(row)
    absent = sorted(each.title for each in Operation if each not in OPERATIONS)
    lines += ["## Not built", "", "These answer *Operation Not Supported*, and Query does not list them:", ""]
    return "\n".join([*lines, ", ".join(absent) + "."]) + "\n"


def _operation(row: Row) -> Iterator[str]:
    module = sys.modules[row.handle.__module__].__doc__ or ""
    since = row.operation.since
    yield f"## {row.operation.title}"
    yield ""
    yield " ".join(module.split("\n\n")[0].split())
    yield ""
    later = f", since KMIP {since.major}.{since.minor}" if (since.major, since.minor) > (1, 0) else ""
    yield f"Needs the right to {row.needs.value}{later}."
    yield ""
    for what, payload in (("Request", row.request), ("Response", row.response)):
        fields = [_payload_field(field) for field in dataclasses.fields(payload)]
        yield f"{what}: {', '.join(fields) or 'nothing'}."
        yield ""


def _payload_field(field: "dataclasses.Field[Any]") -> str:
    title = field.name.replace("_", " ").title()
    hint = str(field.type)
    marks = [f"{since.version.major}.{since.version.minor}" for since in _sinces(field.type)]
    optional = field.default is not dataclasses.MISSING
    repeated = "tuple[" in hint
    extra = [*(["optional"] if optional and not repeated else []), *(["repeated"] if repeated else []), *marks]
    return title + (f" ({', '.join(extra)})" if extra else "")


def _sinces(hint: Any) -> list[Since]:
    return [each for each in getattr(hint, "__metadata__", ()) if isinstance(each, Since)]


def attributes() -> str:
    """Every attribute of KMIP 1.0 to 1.4 as the program's one table has it."""
    lines = [
        "# Attributes",
        "",
        "The attributes of KMIP 1.0 to 1.4. Besides these, clients keep custom attributes whose names begin with `x-`;",
        "`y-` is the server's. *always*: the object has it at all times. Modify and delete: by the client, in states",
        "that allow it.",
        "",
        "| attribute | since | type | several | always | set by | modify | delete | objects | section |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*lines, *(_attribute(word) for word in ATTRIBUTES.values())]) + "\n"


def _attribute(word: AttributeWord) -> str:
    kinds = [kind.title for kind in sorted(word.applies_to, key=int)]
    objects = "all" if len(kinds) == len(ObjectType) else ", ".join(kinds)
    cells = (
        word.name,
        f"{word.since.major}.{word.since.minor}",
        _type_name(word.type),
        _yes(word.multiple),
        _yes(word.always),
        " or ".join(sorted(word.set_by)),
        _yes(word.modifiable_by_client),
        _yes(word.deletable_by_client),
        objects,
        word.section,
    )
    return f"| {' | '.join(cells)} |"


def _type_name(kind: Any) -> str:
    metadata = getattr(kind, "__metadata__", ())
    if metadata and hasattr(metadata[0], "name"):
        return str(metadata[0].name).replace("_", " ").title()
    plain = {str: "Text String", int: "Integer", bool: "Boolean", bytes: "Byte String"}
    return plain.get(kind) or str(getattr(kind, "__name__", kind))


def _yes(value: bool) -> str:
    return "yes" if value else ""


def lifecycle() -> str:
    """The one table that every change of state goes by, as a picture and as a table."""
    return "\n".join(
        [
            "# Lifecycle",
            "",
            "The states of an object (KMIP 1.4, 3.22) and what leads from one to the next. A step that is not in the",
            "table is refused. Opaque Objects and Templates have no State to show; they are destroyed all the same.",
            "",
            "```mermaid",
            f"{table.mermaid()}```",
            "",
            table.markdown(),
        ]
    )


def roles() -> str:
    """Which role of the embedded key manager gives which right, and over what it can be granted."""
    lines = [
        "# Roles",
        "",
        "What a service ID may do with the embedded key manager's API, by the roles that it is granted: IBM's words.",
        "`keyrack iam roles` shows the same. What no role gives is denied. Roles add up, and KeyPurge alone purges.",
        "",
        "A role is granted over every key manager instance, over one, over one of its key rings, or over one key:",
        "",
        "```console",
        "$ keyrack iam service-id create backup --role Writer --key-ring vmware",
        "$ keyrack iam api-key create backup",
        "$ keyrack iam grant backup --role KeyPurge --all-instances",
        "```",
        "",
        "Rights marked with * mean a key manager instance as a whole: a role over a key ring or a key does not give",
        "them. Grants count as they stand at each request, also for tokens that were given before.",
        "",
        f"| right | {' | '.join(Role)} |",
        f"| --- |{' --- |' * len(Role)}",
    ]
    return "\n".join([*lines, *(_right(right) for right in Right)]) + "\n"


def _right(right: Right) -> str:
    mark = " *" if right in WHOLE_INSTANCE else ""
    return f"| `{right}`{mark} | {' | '.join(_yes(right in MATRIX[role]) for role in Role)} |"


def rights() -> str:
    """Which role lets a person do what."""
    return (
        "\n".join(
            [
                "# Rights",
                "",
                "What people may do over REST and in the console, by the roles that they are granted. Roles add up;",
                "what no role gives is refused. Whoever works on the machine itself with the deployment's files may",
                "everything: nothing could be withheld there, and the journal names the account.",
                "",
                "A role is granted over one instance (`keyrack person grant anna operator --instance prod`) or",
                "everywhere. Rights over the deployment come only with a role everywhere. An instance over which",
                "somebody has no role is not there: it answers like one that never was.",
                "",
                "Nobody changes the own roles, and the last administrator who can log in stays. An API key has its",
                "person's rights, or fewer. An administrator can still let somebody in who destroys keys: the journal",
                "tells of it, and dual control lets nothing that stops machines happen by one log-in alone.",
                "",
                "Rights marked with * want a proof that is at most five minutes old: the log-in itself, or the",
                "password again.",
                "",
                people_rights.markdown().rstrip(),
            ]
        )
        + "\n"
    )


def _sentence(thing: Any) -> str:
    return " ".join((thing.__doc__ or "").split("\n\n")[0].split())


def metrics() -> str:
    """Every metric, how to ask for them, and what else tells how it goes."""
    return f"{METRICS_BEGINNING}\n{metrics_table.markdown()}"


METRICS_BEGINNING = """\
# Metrics, traces, dashboard

`https://HOST:8443/metrics` answers in Prometheus's text form what each serving process has counted, what the catalog
says of the deployment, and how the web process does. An API key of somebody with the right `server.read` may ask
(role *viewer* is enough), an address of the table `[metrics]`, or a token from its `token_file`; without more, this
machine alone.

```yaml
scrape_configs:
  - job_name: keyrack
    scheme: https
    authorization: {credentials_file: /etc/prometheus/keyrack.token}
    tls_config: {ca_file: /etc/prometheus/keyrack.pem}   # Keyrack's own certificate, tls/server.pem
    static_configs: [{targets: ["keyrack.example.com:8443"]}]
```

- [deploy/grafana/keyrack.json](../deploy/grafana/keyrack.json) is a dashboard to import into Grafana.
- [deploy/prometheus/keyrack.rules.yml](../deploy/prometheus/keyrack.rules.yml) has alerts: no real unwrap,
  certificates at 90, 30 and 7 days, a journal that is not as it was written, a sink that is behind, an open circuit,
  a quota that is nearly used.
- Traces for OpenTelemetry come with the extra `otel` and the table `[tracing]`: one request in a hundred, with the
  time that it waited for commits and key managers. Neither metrics nor traces hold an identifier of a key.
- `keyrack doctor` looks at everything without a server, and tells what is not well, why, and which command mends it.
"""


def journal_events() -> str:
    """Every act and its event."""
    return f"""# Events of the journal

What each act is called in the database, and in the events that leave it; see [the journal](journal.md). A failure's
severity is decided by its code, see there. An operation that no version of KMIP has is `{UNROUTED}`.

{acts_of_the_journal()}"""


PAGES: Mapping[str, Callable[[], str]] = {
    "configuration.md": configuration,
    "journal-events.md": journal_events,
    "operations.md": operations,
    "attributes.md": attributes,
    "lifecycle.md": lifecycle,
    "rights.md": rights,
    "roles.md": roles,
    "key-manager-outcomes.md": outcome_page.page,
    "cli.md": cli_page.page,
    "metrics.md": metrics,
    "rest-api.md": rest_page.page,
}
"""Pages by the name of their file."""


def written(name: str) -> str:
    """A page, whole."""
    title, _, rest = PAGES[name]().partition("\n")
    return f"{title}\n\n{NOTICE}{rest}"


def main() -> None:
    """Write all pages."""
    for name in PAGES:
        (HERE / name).write_text(written(name), encoding="utf-8")


if __name__ == "__main__":
    main()
