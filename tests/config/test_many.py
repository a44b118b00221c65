"""How many deliveries one event may have."""

import pytest

from gateway.config import load
from gateway.config.entries import MOST_DELIVERIES
from gateway.errors import ConfigError

HEAD = "version: 1\nsources: {xobito: {preset: xobito, secret: s}}\n"


def file(destinations: int, routes: int) -> str:
    names = [f"d{number}" for number in range(destinations)]
    listed = "".join(f"  {name}: {{url: 'https://crm.example.com/{name}'}}\n" for name in names)
    entries = "".join(f"  - {{name: r{number}, to: [{', '.join(names)}]}}\n" for number in range(routes))
    return f"{HEAD}destinations:\n{listed}routes:\n{entries}"


def test_a_file_that_would_make_too_many_deliveries_of_one_event_names_the_route_that_goes_beyond(tmp_path):
    path = tmp_path / "routes.yaml"
    path.write_text(file(100, MOST_DELIVERIES // 100))
    assert len(load(path, environ={}).entries) == MOST_DELIVERIES // 100
    path.write_text(file(100, MOST_DELIVERIES // 100 + 3))
    with pytest.raises(ConfigError) as refused:
        load(path, environ={})
    [problem] = refused.value.problems
    assert f"{MOST_DELIVERIES + 100} deliveries, and {MOST_DELIVERIES} are the most" in problem.message
    assert (
        problem.place.line
        == path.read_text()
        .splitlines()
        .index(f"  - {{name: r{MOST_DELIVERIES // 100}, to: [{', '.join(f'd{n}' for n in range(100))}]}}")
        + 1
    )
