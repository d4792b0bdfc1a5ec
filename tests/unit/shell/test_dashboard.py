"""The dashboard and the alerts speak of metrics, labels and commands that are there."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from keyrack.shell.cli.app import command
from keyrack.shell.metrics.table import METRICS

ROOT = Path(__file__).parents[3]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/keyrack.json").read_text(encoding="utf-8"))
RULES: dict[str, Any] = yaml.safe_load((ROOT / "deploy/prometheus/keyrack.rules.yml").read_text(encoding="utf-8"))
OF_THE_SCRAPE = {"job", "le"}
"""Labels that Prometheus itself adds, and the one of histograms."""
SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
SAMPLES = {f"{name}{suffix}": name for name, each in METRICS.items() for suffix in SUFFIXES[each.kind]}
"""Names that stand in expressions, and the metric of each."""
WORDS = {
    *("sum", "avg", "min", "max", "by", "and", "or", "on", "unless", "rate", "increase", "time", "scalar", "vector"),
    *("absent", "sort", "histogram_quantile", "without", "bool"),
}


def expressions() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    for group in RULES["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_each_expression_names_metrics_and_labels_that_are_there(expression: str) -> None:
    """A small reader of PromQL: brackets close, each name is a metric or a word of the language, each label is one."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    for opening, closing in ("()", "[]", "{}"):
        assert bare.count(opening) == bare.count(closing)
    assert re.fullmatch(r"[\w\s(){}\[\]=~!<>,.$\"*/+-]+", bare)
    labels = set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)\s*\"", bare))
    grouped = re.findall(r"\b(?:by|on|without) \(([^)]*)\)", bare)
    labels |= {each.strip() for inner in grouped for each in inner.split(",")}
    rest = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|on|without) \([^)]*\)", " ", bare)
    names = set(re.findall(r"\b[a-z_][a-z0-9_]*\b", rest)) - WORDS

    assert names
    assert names <= SAMPLES.keys()
    known = {label for name in names for label in METRICS[SAMPLES[name]].labels} | OF_THE_SCRAPE
    assert labels <= known


def test_counters_are_read_as_rates_and_gauges_as_they_are() -> None:
    for expression in expressions():
        for name in re.findall(r"\b[a-z_][a-z0-9_]*\b", re.sub(r"\{[^}]*\}", "", expression)):
            if name in SAMPLES and name != "keyrack_journal_flaws":
                grows = METRICS[SAMPLES[name]].kind != "gauge"
                rated = re.search(rf"(?:rate|increase)\({name}(?:\{{[^}}]*\}})?\[", expression) is not None
                assert grows == rated, expression


def test_the_dashboard_has_its_rows_and_no_panel_lies_on_another() -> None:
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert [
        "Overview",
        "Requests",
        "Where the time goes",
        "Key managers",
        "Certificates and keys",
        "Journal and sinks",
        "People and the administration API",
        "Backups and proofs",
    ] == rows
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not taken & cells
        taken |= cells
    identifiers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(identifiers) == len(set(identifiers))


def test_each_metric_of_use_to_a_person_is_on_the_dashboard_or_in_an_alert() -> None:
    seen = {SAMPLES[name] for each in expressions() for name in re.findall(r"\w+", each) if name in SAMPLES}
    unseen = {
        "keyrack_build_info",
        "keyrack_connections_accepted_total",
        "keyrack_instance_sealed",
        "keyrack_key_manager_read_only",
        "process_max_fds",
        "process_open_fds",
        "process_start_time_seconds",
        "process_virtual_memory_bytes",
    }

    assert METRICS.keys() - seen <= unseen


def test_each_alert_says_what_it_means_and_the_commands_that_it_names_are_there() -> None:
    names = [rule["alert"] for group in RULES["groups"] for rule in group["rules"]]
    assert len(names) == len(set(names))
    root = command()
    for group in RULES["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("critical", "warning", "info")
            told = rule["annotations"]
            assert told.keys() == {"summary", "description"}
            for words in re.findall(r"'keyrack ([a-z -]+?)(?: [A-Z{].*?)?'", told["description"]):
                here = root
                for word in words.split():
                    here = here.commands[word]


def test_prometheus_itself_takes_the_rules(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian's package prometheus)")
    made = [
        {"record": f"x:{number}", "expr": each.replace("$__rate_interval", "5m")}
        for number, each in enumerate(expressions())
    ]
    path = tmp_path / "dashboard.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": made}]}))

    subprocess.run([promtool, "check", "rules", ROOT / "deploy/prometheus/keyrack.rules.yml", path], check=True)
