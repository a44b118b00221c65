"""The dashboard and the alert rules ask only for metrics, labels and words that there are."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from gateway import telemetry
from gateway.telemetry.metrics import METRICS
from tests.needs import needs

DEPLOY = Path(__file__).parents[1] / "deploy"
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text("utf-8"))["groups"][0]["rules"]
DASHBOARD = json.loads((DEPLOY / "grafana" / "gateway.json").read_text("utf-8"))
VARIABLES = {each["name"] for each in DASHBOARD["templating"]["list"]}

FUNCTIONS = {
    "absent", "changes", "histogram_quantile", "increase", "label_values", "max", "max_over_time", "min", "predict_linear",
    "rate", "sum", "time",
}  # fmt: skip
OPERATORS = {"and", "or", "unless", "offset", "bool"}
GROUPING = {"by", "without", "on", "ignoring", "group_left", "group_right"}
#: What Prometheus itself adds to whatever it scrapes.
OF_A_SCRAPE = {"job", "instance"}
WORDS = {
    "outcome": {"accepted", "duplicate", "rejected", "unavailable", "delivered", "retry", "dead"},
    "reason": {"signature"},
    "state": {"in_flight", "waiting", "held"},
    "job": {"gateway"},
}
TOKEN = re.compile(
    r"""(?P<string>"[^"\\]*")|(?P<range>\[[\w$]+\])|(?P<number>\d[\w.]*)|(?P<name>[a-zA-Z_][\w:]*)
    |(?P<match>=~|!~|!=|=(?!=))|(?P<other>==|>=|<=|[-+*/<>(){},])|(?P<space>\s+)""",
    re.VERBOSE,
)


@dataclass
class Asked:
    """What an expression asks for."""

    #: (metric, labels that it is narrowed by).
    metrics: list[tuple[str, set[str]]] = field(default_factory=list)
    #: Labels that results are grouped or joined by.
    grouped: set[str] = field(default_factory=set)
    #: (label, operator, value).
    matchers: list[tuple[str, str, str]] = field(default_factory=list)


def tokens(expression: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while at < len(expression):
        token = TOKEN.match(expression, at)
        assert token is not None, f"{expression[at:]!r} is no PromQL"
        at = token.end()
        if token.lastgroup != "space":
            found.append((token.lastgroup, token[0]))
    return found


def parsed(expression: str) -> Asked:
    """Its names by their place; AssertionError for a name that cannot be there."""
    asked, opened, grouping = Asked(), [], False
    written = [*tokens(expression), ("other", "")]
    for at, (kind, text) in enumerate(written[:-1]):
        following = written[at + 1][1]
        if text in {"(", "{"}:
            opened.append(text)
            grouping = grouping and text == "("
        elif text in {")", "}"}:
            assert opened
            assert opened.pop() + text in {"()", "{}"}
            grouping = False
        elif kind == "name" and opened[-1:] == ["{"]:
            asked.matchers.append((text, following, written[at + 2][1].strip('"')))
            asked.metrics[-1][1].add(text)
        elif kind == "name" and text in GROUPING:
            assert following == "("
            grouping = True
        elif kind == "name" and grouping:
            asked.grouped.add(text)
        elif kind == "name" and following in {"(", "by"} and text not in OPERATORS:
            assert text in FUNCTIONS
        elif kind == "name" and text not in OPERATORS:
            asked.metrics.append((text, set()))
    assert opened == []
    return asked


def labels_of(metric: str) -> set[str]:
    """The labels of a series as it is scraped. KeyError when there is none of that name."""
    if metric == "up" or metric in PROCESS:
        return OF_A_SCRAPE
    base = re.sub("_(bucket|sum|count)$", "", metric)
    if METRICS.get(base) and METRICS[base].type == "histogram":
        assert metric != base
        return {*METRICS[base].labels, *OF_A_SCRAPE, *(["le"] if metric.endswith("_bucket") else [])}
    return {*METRICS[metric].labels, *OF_A_SCRAPE}


PROCESS = set(re.findall(r"^(process_\w+) ", telemetry.scrape().decode(), re.MULTILINE))


def expressions() -> Iterator[tuple[str, str, str]]:
    """Place, expression, and the text about its results."""
    for rule in ALERTS:
        yield rule["alert"], rule["expr"], " ".join(rule["annotations"].values())
    for panel in DASHBOARD["panels"]:
        for number, target in enumerate(panel.get("targets", [])):
            yield f"{panel['title']} {number}", target["expr"], target["legendFormat"]
    for annotation in DASHBOARD["annotations"]["list"]:
        yield annotation["name"], annotation["expr"], annotation["titleFormat"]


CASES = [pytest.param(*each[1:], id=each[0]) for each in expressions()]


@pytest.mark.parametrize(("expression", "said"), CASES)
def test_an_expression_asks_for_what_there_is(expression, said):
    asked = parsed(expression)
    assert asked.metrics
    known = set()
    for metric, narrowed in asked.metrics:
        known |= labels_of(metric)
        assert narrowed <= labels_of(metric)
    assert asked.grouped <= known
    for label, operator, value in asked.matchers:
        is_variable = operator == "=~" and value == f"${label}" and label in VARIABLES
        assert is_variable or (operator == "=" and value in WORDS[label])
    for label in re.findall(r"\$labels\.(\w+)|\{\{(\w+)\}\}", said):
        # What was grouped has no other labels.
        assert "".join(label) in (asked.grouped if "sum by" in expression else known)


@pytest.mark.parametrize(
    "expression",
    [
        "gateway_no_such_metric > 0",
        "gateway_ingest_duration_seconds > 1",
        'gateway_dead_letters{source="xobito"} > 0',
        "sum by (route) (gateway_dead_letters)",
        'gateway_events_received_total{outcome="lost"} > 0',
        "rate(gateway_dead_letters[5m]",
        "nonsense(gateway_dead_letters)",
        "gateway_dead_letters ; 1",
    ],
)
def test_an_expression_that_asks_for_something_else_is_found(expression):
    with pytest.raises((AssertionError, KeyError)):
        test_an_expression_asks_for_what_there_is(expression, "")


def test_every_alert_says_what_is_wrong_and_what_to_do():
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS)
    for rule in ALERTS:
        assert rule["labels"]["severity"] in {"page", "warn"}
        assert set(rule["annotations"]) == {"summary", "runbook"}
        assert rule["annotations"]["runbook"].endswith(".")


def test_every_metric_of_a_destination_is_on_the_dashboard():
    shown = {
        re.sub("_(bucket|sum|count)$", "", metric) for _, expr, _ in expressions() for metric, _ in parsed(expr).metrics
    }
    assert {name for name, declared in METRICS.items() if "destination" in declared.labels} <= shown


def test_panels_have_their_place():
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert all(x < 24 for x, _ in cells)
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_the_dashboard_asks_whichever_prometheus_was_chosen():
    assert set(re.findall(r'"uid": "(\$\{\w+\})"', json.dumps(DASHBOARD))) == {"${datasource}"}
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            assert parsed(variable["definition"].replace(f", {variable['name']})", ")")).metrics


def test_the_rules_do_what_their_own_tests_say():
    needs("promtool", "prometheus")
    path = DEPLOY / "prometheus" / "alerts.test.yaml"
    done = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
