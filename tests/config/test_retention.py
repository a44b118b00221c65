"""How long things are kept, as the file says it, and how it goes together with retries."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.config import load
from gateway.destinations.retry import ONCE, Policy, listed, longest_s
from gateway.errors import ConfigError
from gateway.store.nouns import Retention
from tests.destinations.test_retry import schedule

DAY = 86400.0
FILE = """version: 1
sources: {xobito: {preset: xobito, secret: s3cret-of-the-tests}}
destinations: {crm: {url: "https://crm.example"}}
routes: [{to: crm}]
"""


def kept(folder, written: str) -> Retention:
    path = folder / "routes.yaml"
    path.write_text(f"{FILE}{written}\n")
    return load(path, environ={"KEPT": "3d"}).retention


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("", Retention()),
        ("retention: {}", Retention()),
        ("retention: {events: 60d, bodies: 7d, attempts: 10d, dead: 120d}",
         Retention(events_s=60 * DAY, bodies_s=7 * DAY, attempts_s=10 * DAY, dead_s=120 * DAY)),
        ("retention: {events: 7d}", Retention(events_s=7 * DAY, attempts_s=7 * DAY)),
        ("retention: {events: 365d}", Retention(events_s=365 * DAY, dead_s=365 * DAY)),
        ('retention: {bodies: "${KEPT}"}', Retention(bodies_s=3 * DAY)),
    ],
    ids=["nothing", "an empty map", "all of it", "shorter events", "events longer than dead ones", "a variable"],
)  # fmt: skip
def test_what_is_not_written_is_usual_and_goes_with_the_rest(tmp_path, written, expected):
    assert kept(tmp_path, written) == expected


def test_a_body_stays_as_long_as_its_event_unless_it_is_said(tmp_path):
    assert kept(tmp_path, "").bodies_s == math.inf


def test_events_that_are_kept_long_can_be_tried_again_for_long(tmp_path):
    retries = "retention: {events: 90d}\ndefaults: {retry: {for: 60d, max_age: 80d}}"
    assert kept(tmp_path, retries).events_s == 90 * DAY
    with pytest.raises(ConfigError) as caught:
        kept(tmp_path, retries.partition("\n")[2])
    [problem] = caught.value.problems
    assert problem.message == 'deliveries to "crm" are retried for 60d, but events are only kept for 30d'


# Bounded, so that the reference below, which asks for each wait, is done in time.
POLICIES = st.builds(
    Policy,
    for_s=st.floats(0, 20_000),
    first_s=st.floats(100, 5_000),
    max_s=st.floats(5_000, 90_000),
    attempts=st.none() | st.integers(1, 20),
)


@given(POLICIES | st.lists(st.floats(0.1, 5_000), min_size=1, max_size=8).map(lambda each: listed(tuple(each))))
def test_no_schedule_waits_longer_than_is_said_of_it(policy):
    waits, _ = schedule(replace(policy, jitter=0.0))
    assert math.fsum(wait.after_s for wait in waits) <= longest_s(policy) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Policy(), DAY),
        (ONCE, 0),
        (Policy(attempts=4), 1 + 2 + 4),
        (Policy(attempts=1000), DAY),
        (listed((10, 60)), 70),
        (replace(listed((10, 60)), attempts=2), 10),
        (Policy(for_s=20 * DAY, first_s=DAY, max_s=DAY, attempts=1000), 20 * DAY),
    ],
)
def test_what_a_schedule_waits_in_all(policy, expected):
    assert longest_s(policy) == expected
