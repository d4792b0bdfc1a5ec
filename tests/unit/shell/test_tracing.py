"""Traces: told to a real receiver of OTLP over HTTP, with no key in them, and clearly refused without the extra."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from gzip import decompress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from keyrack.operations.get import GetRequest
from keyrack.service.batch import Desk
from keyrack.shell.config.problems import ConfigError
from keyrack.shell.config.whole import Config, load
from keyrack.shell.tracing import metering
from keyrack.spec.enumerations import Operation
from keyrack.testing.conversation import create
from keyrack.testing.house import House, Refused, memory_house


@contextmanager
def receiver() -> Iterator[tuple[str, list[bytes]]]:
    """A collector on a free port of this machine, and the bodies that it was sent."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            bodies.append(decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Be silent."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", bodies
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def configured(directory: Path, **tracing: Any) -> Config:
    path = directory / "keyrack.toml"
    told = {name: str(value).lower() if isinstance(value, bool) else repr(value) for name, value in tracing.items()}
    lines = [f"{name} = {value}" for name, value in told.items()]
    path.write_text(
        '[deployment]\nid = "keyrack-1"\n[key_managers.embedded]\ntype = "embedded"\n'
        'unlock = { key_file = "k" }\n[tracing]\n' + "\n".join(lines)
    )
    return load(path, {})


def desk_with(house: House, meter: Any) -> House:
    house.desk = Desk(house.catalog, house.vault, clock=house.clock, meter=meter)
    return house


async def test_a_request_is_told_with_what_it_waited_for_and_with_no_key(tmp_path: Path) -> None:
    house = memory_house()
    await house.admit("a")
    with (
        receiver() as (endpoint, bodies),
        metering(configured(tmp_path, enabled=True, endpoint=endpoint, sample=1.0), "kmip-0") as meter,
    ):
        desk_with(house, meter)
        made = await house.ask(*create())
        await house.ask(Operation.GET, GetRequest(unique_identifier=made.unique_identifier))
        with pytest.raises(Refused):
            await house.ask(Operation.GET, GetRequest(unique_identifier="no-such-key"))

    whole = b"".join(bodies)
    spans, resources = [], []
    for body in bodies:
        request = ExportTraceServiceRequest()
        request.ParseFromString(body)
        for each in request.resource_spans:
            resources.append({item.key: item.value.string_value for item in each.resource.attributes})
            spans += [span for scope in each.scope_spans for span in scope.spans]
    by_name: dict[str, list[Any]] = {}
    for span in spans:
        by_name.setdefault(span.name, []).append(span)

    assert {"KMIP Create": 1, "KMIP Get": 2, "catalog commit": 3, "key manager": 1} == {
        name: len(each) for name, each in by_name.items()
    }
    assert ("keyrack", "keyrack-1", "kmip-0") == tuple(
        resources[0][f"service.{name}"] for name in ("name", "namespace", "instance.id")
    )
    (create_span,) = by_name["KMIP Create"]
    (asked,) = by_name["key manager"]
    assert create_span.span_id == asked.parent_span_id
    assert create_span.start_time_unix_nano <= asked.start_time_unix_nano < asked.end_time_unix_nano
    assert asked.end_time_unix_nano <= create_span.end_time_unix_nano
    outcomes = [
        {item.key: item.value.string_value for item in span.attributes}["keyrack.outcome"]
        for span in by_name["KMIP Get"]
    ]
    assert ["success", "Item Not Found"] == outcomes
    assert made.unique_identifier.encode() not in whole
    assert b"no-such-key" not in whole


async def test_only_so_many_requests_are_told_as_is_configured(tmp_path: Path) -> None:
    """Of 400 with one in ten, between 10 and 90: outside of that once in 10^9 runs."""
    house = memory_house()
    await house.admit("a")
    with (
        receiver() as (endpoint, _),
        metering(configured(tmp_path, enabled=True, endpoint=endpoint, sample=0.1), "kmip-0") as meter,
    ):
        traces: list[Any] = []
        meter.trace = traces.append
        desk_with(house, meter)
        for _ in range(400):
            with pytest.raises(Refused):
                await house.ask(Operation.GET, GetRequest(unique_identifier="x"))

    assert 10 < len(traces) < 90


def test_nothing_is_told_unless_it_is_wanted(tmp_path: Path) -> None:
    with metering(configured(tmp_path), "kmip-0") as meter:
        assert meter.begin().parts is None
    assert meter.trace is None


async def test_a_collector_that_is_not_there_keeps_no_request_from_its_answer(tmp_path: Path) -> None:
    house = memory_house()
    await house.admit("a")
    endpoint = "http://127.0.0.1:9/v1/traces"
    with metering(configured(tmp_path, enabled=True, endpoint=endpoint, sample=1.0), "kmip-0") as meter:
        desk_with(house, meter)
        await house.ask(*create())


def test_without_the_extra_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    with (
        pytest.raises(ConfigError, match="the extra 'otel' is not installed") as refused,
        metering(configured(tmp_path, enabled=True), "kmip-0"),
    ):
        pass
    assert "pip install 'keyrack[otel]'" in str(refused.value)


@pytest.mark.parametrize("endpoint", ["ftp://here", "http://", "https://me:password@collector/v1/traces"])
def test_an_endpoint_that_is_none_is_refused(tmp_path: Path, endpoint: str) -> None:
    with pytest.raises(ConfigError, match="endpoint"):
        configured(tmp_path, enabled=True, endpoint=endpoint)
