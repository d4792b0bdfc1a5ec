"""``docs/rest-api.md``: every call and every problem, from the document that the API serves of itself."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI

from keyrack.shell.rest.v1 import health, metrics
from keyrack.shell.rest.v1.app import ROOT, ROUTERS
from keyrack.shell.rest.v1.openapi import described
from keyrack.shell.rest.v1.problems import KINDS, PREFIX

_METHODS = ("get", "post", "put", "patch", "delete")
_HEADINGS = {"api-keys": "API keys", "oidc": "Log-in by OpenID Connect"}

BEGINNING = """\
# REST API

`https://HOST:8443/api/v1`, served by a process of its own beside KMIP; the table `[api]` of the
[configuration](configuration.md) says where. It describes itself (OpenAPI 3.1) at `/api/v1/openapi.json`. Everything
that it does, `keyrack` does too, over the same code, with the same [rights](rights.md) and the same
journal.

## Ask it

A program asks with an API key; a person logs in. Both have the rights of one person, looked up at each request.

```console
$ keyrack api-key create anna deploy --role operator > anna.key   # shown once; anna has this role
$ chmod 600 anna.key
$ export TOKEN=$(cat anna.key)
$ alias kr='curl --silent --show-error --cacert tls/server.pem --header "Authorization: Bearer $TOKEN"'
$ export API=https://127.0.0.1:8443/api/v1       # where [api] listens; another name has to be in its certificate
$ kr $API/me
$ kr $API/instances
$ kr $API/key-managers/embedded/root-keys          # needs a role that is not for one instance alone
```

A person sets the password once, with what stands behind the `#` of the link, and then logs in; the token of a log-in
goes where the API key went:

```console
$ read -r LINK                                   # paste the link of 'keyrack init', 'person add' or 'person invite'
$ read -rs PASSWORD
$ jq -n --arg token "${LINK#*#}" --arg password "$PASSWORD" '$ARGS.named' \\
    | kr $API/set-password --header 'Content-Type: application/json' --data @-
$ export TOKEN=$(jq -n --arg name root --arg password "$PASSWORD" '$ARGS.named' \\
    | kr $API/sessions --header 'Content-Type: application/json' --data @- | jq -r .token)
$ kr $API/instances --header 'Content-Type: application/json' --header 'Idempotency-Key: 7f0c' \\
    --data '{"name": "prod", "key_manager": "embedded", "new_root_key": true}'
$ kr $API/sessions/current --request DELETE      # log out
```

A log-in from a browser gets the cookie `__Host-keyrack`; whatever is not a GET then needs the header `X-CSRF-Token`
with the token that the log-in has answered, and comes from a page of this server.

## What all calls have in common

- **Lists** answer `{"items": [...], "next": cursor}`. Ask on with `?cursor=`, the same filters and at most
  `limit=500`; `next` is null on the last page.
- **Changes name what they change.** A GET of one thing answers an `ETag`; PATCH, PUT and DELETE send it as
  `If-Match`. Missing: 428. Somebody else was quicker: 412, and nothing was changed.
- **A POST is repeated safely** under the same `Idempotency-Key`: for 24 hours the same request is done once, and its
  answer repeated (`Idempotent-Replayed: true`). Another request under the key: 422. Still under way, or cut off by a
  crash so that nobody knows: 409. An answer that held a secret is not kept: 409 `shown-once`.
- **Acts that may stop machines** answer 409 `confirmation-needed` with `impact` and the words to repeat, in the field
  or query parameter `confirmation`. Where an instance needs two people, they answer 202 `second-person-needed` with
  the approval that a second person agrees to.
- **Times** are RFC 3339 in UTC. **Fields** that are not known are refused, not looked past.
- **Bounds**: bodies to 1 MiB and 32 levels, headers to 16 KiB, 50 requests a second of one person (`[api]
  requests_per_second`); more is answered 413, 400, 431 and 429.
- `X-Request-Id` of the request comes back in the answer and stands in the log and in the journal; without one it gets
  one.

`/health/live` and `/health/ready` ask for no token. Ready means: connections are taken, the catalog takes a commit,
and with each key manager in use a root key has really unwrapped something within `readiness_seconds`. It costs at
most one look in five seconds, however often it is asked.
"""


def page() -> str:
    """The page, whole."""
    document = _document()
    lines = [BEGINNING, "## Calls", ""]
    for tag in _tags(document["paths"]):
        lines += [
            f"### {_HEADINGS.get(tag) or tag.replace('-', ' ').capitalize()}",
            "",
            "| call | what it does |",
            "| --- | --- |",
        ]
        lines += [f"| `{method.upper()} {path}` | {call['summary']} |" for path, method, call in _of(document, tag)]
        lines.append("")
    lines += ["## Problems", "", *_problems()]
    return "\n".join(lines) + "\n"


def _document() -> Mapping[str, Any]:
    app = FastAPI(generate_unique_id_function=lambda route: route.name)
    for router in ROUTERS:
        app.include_router(router, prefix=ROOT)
    for router in (health.opened, metrics.opened):
        app.include_router(router)
    return described(app)


def _tags(paths: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(call["tags"][0] for methods in paths.values() for call in methods.values()))


def _of(document: Mapping[str, Any], tag: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if method in methods and methods[method]["tags"][0] == tag:
                yield path, method, methods[method]


def _problems() -> Iterator[str]:
    yield "Every refusal is `application/problem+json` (RFC 9457): `type`, `code`, `title`, `status`, `detail`, often"
    yield f"`hint`, `field` and `pointer`. `code` never changes, and `type` is `{PREFIX}` and the code."
    yield "What is foreign and what never was answer the same 404, byte for byte. A 500 has an `incident`, under which"
    yield "the log of the server tells more."
    yield ""
    yield "| code | status | meaning |"
    yield "| --- | --- | --- |"
    for code, kind in sorted(KINDS.items(), key=lambda each: (each[1].status, each[0])):
        yield f"| `{code}` | {kind.status} | {kind.title} |"
