"""Traces for OpenTelemetry: one request in a hundred, told after it was answered, so that nobody waits for it.

A trace holds the operation, its outcome and the instance's name, and how long the request waited for the catalog and
for key managers. It never holds an identifier, a name or a value of a key.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from keyrack.service.metering import SUCCESS, Meter, Trace, now
from keyrack.shell.config.problems import ConfigError, Problem
from keyrack.shell.config.telemetry import Tracing
from keyrack.shell.config.whole import Config

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

WAIT: Final = 5.0
"""Seconds that a collector may take to answer, and that the end of a process waits for what is still to be sent."""
QUEUE: Final = 2048
"""Spans that wait to be sent; those that come when so many wait are dropped."""


@contextmanager
def metering(config: Config, process: str) -> Iterator[Meter]:
    """The meter of a process, which tells of traces where the configuration wants them.

    Raises :class:`ConfigError` where it wants them and the extra is not installed.
    """
    table = config.tracing
    if not table.enabled:
        yield Meter()
        return
    provider = _provider(table, config.deployment.id, process)
    try:
        yield Meter(drawn=_draw(table.sample), trace=_teller(provider))
    finally:
        provider.shutdown()


def _draw(sample: float) -> Callable[[], bool]:
    chance = random.random  # which requests are looked at is no secret
    return lambda: chance() < sample


def _provider(table: Tracing, deployment: str, process: str) -> "TracerProvider":
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            [
                Problem(
                    where="tracing.enabled",
                    what="traces cannot be sent",
                    why=f"the extra 'otel' is not installed ({error})",
                    instead="install it: pip install 'keyrack[otel]'; or write enabled = false",
                )
            ]
        ) from None
    whose = {"service.name": "keyrack", "service.namespace": deployment, "service.instance.id": process}
    provider = TracerProvider(resource=Resource.create(whose))
    exporter = OTLPSpanExporter(endpoint=table.endpoint, timeout=WAIT)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=QUEUE, export_timeout_millis=WAIT * 1000))
    return provider


def _teller(provider: "TracerProvider") -> Callable[[Trace], None]:
    from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context  # noqa: PLC0415

    tracer = provider.get_tracer("keyrack")

    def tell(trace: Trace) -> None:
        since = time.time() - now()

        def instant(reading: float) -> int:
            return int((since + reading) * 1_000_000_000)

        attributes: Mapping[str, str] = {
            "keyrack.operation": trace.operation,
            "keyrack.outcome": trace.outcome,
            "keyrack.instance": trace.instance,
        }
        whole = tracer.start_span(
            f"KMIP {trace.operation}",
            kind=SpanKind.SERVER,
            start_time=instant(trace.began),
            attributes=attributes,
        )
        within = set_span_in_context(whole)
        for part in trace.parts:
            span = tracer.start_span(part.what, within, SpanKind.CLIENT, start_time=instant(part.began))
            span.end(instant(part.ended))
        if trace.outcome != SUCCESS:
            whole.set_status(Status(StatusCode.ERROR, trace.outcome))
        whole.end(instant(trace.ended))

    return tell
