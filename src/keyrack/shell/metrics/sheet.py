"""A sheet of numbers under the names of the table, and its text form; sheets of several processes make one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry

from keyrack.service.metering import BOUNDS, Spread
from keyrack.shell.metrics.table import METRICS, PROCESS

CONTENT_TYPE = CONTENT_TYPE_LATEST
_EDGES: Sequence[str] = (*map(str, BOUNDS), "+Inf")


class Sheet:
    """Numbers that were read at one moment."""

    def __init__(self, process: str = "") -> None:
        """``process`` is the label of what one process counts; empty where a whole deployment is meant."""
        self._process = {PROCESS: process} if process else {}
        self._families: dict[str, Metric] = {}

    def put(self, name: str, value: float, **labels: str) -> None:
        """A counter or a gauge; raises ``KeyError`` for a name that the table does not have."""
        family = self._family(name)
        assert isinstance(family, CounterMetricFamily | GaugeMetricFamily)
        family.add_metric(self._values(name, labels), value)

    def spread(self, name: str, spread: Spread, **labels: str) -> None:
        """A histogram."""
        family = self._family(name)
        assert isinstance(family, HistogramMetricFamily)
        buckets = list(zip(_EDGES, map(float, accumulate(spread.counts)), strict=True))
        family.add_metric(self._values(name, labels), buckets, spread.total)

    def families(self) -> Iterable[Metric]:
        """All that was put."""
        return self._families.values()

    def text(self) -> str:
        """In the text form of Prometheus."""
        return exposed(self.families())

    def _values(self, name: str, labels: Mapping[str, str]) -> list[str]:
        given = {**self._process, **labels}
        return [given[each] for each in METRICS[name].labels]

    def _family(self, name: str) -> Metric:
        family = self._families.get(name)
        if family is None:
            kinds = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}
            known = METRICS[name]
            family = self._families[name] = kinds[known.kind](name, known.told, labels=known.labels)
        return family


def exposed(families: Iterable[Metric]) -> str:
    """Families in the text form of Prometheus."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Ready(families))
    return generate_latest(registry).decode()


def merged(texts: Iterable[str]) -> list[Metric]:
    """The families of several texts, each metric once, with the samples of all."""
    families: dict[str, Metric] = {}
    for text in texts:
        for family in text_string_to_metric_families(text):
            known = families.setdefault(family.name, family)
            if known is not family:
                known.samples.extend(family.samples)
    return list(families.values())


class _Ready(Collector):
    """Families as a registry wants them."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families
