"""The condition of a destination: what it is now, and what became of its deliveries in the last hour."""

import pytest

from gateway.cli.destinations import condition as in_words
from tests.console.given import a_destination, an_error
from tests.sink import Sink, answer
from tests.web.desk import Desk
from tests.world import numbered, story, to_crm


def went(delivered: dict[int, int], died: dict[int, int], *, dead: int = 0, **more: object) -> dict[str, object]:
    """A destination of which so many deliveries ended so many minutes ago."""
    of_minute = {
        name: [counts.get(minutes, 0) for minutes in reversed(range(60))]
        for name, counts in (("delivered", delivered), ("died", died), ("retried", {}))
    }
    return a_destination(
        "crm", traffic=of_minute, delivered_1h=sum(delivered.values()), died_1h=sum(died.values()), dead=dead, **more
    )


@pytest.mark.parametrize(
    ("delivered", "died", "dead", "said"),
    [
        pytest.param({}, {}, 0, "idle", id="nothing was sent"),
        pytest.param({3: 9}, {}, 0, "healthy", id="all were delivered"),
        pytest.param({}, {0: 3}, 3, "giving up; answered 404", id="all died"),
        pytest.param({30: 9}, {2: 1}, 1, "giving up; answered 404", id="the last one died"),
        pytest.param(
            {0: 4}, {12: 4}, 0, "healthy; 4 died in the last hour, the last one 12 min ago", id="all were replayed"
        ),
        pytest.param({0: 1}, {0: 1}, 0, "healthy; 1 died in the last hour, just now", id="replayed in the same minute"),
        pytest.param(
            {1: 2},
            {12: 5},
            3,
            "dead letters; works now; 5 died in the last hour, the last one 12 min ago; the last error: answered 404",
            id="some were replayed",
        ),
        pytest.param(
            {},
            {},
            3,
            "dead letters; the last error: answered 404",
            id="they died long ago, and whether it works now is unknown",
        ),
        pytest.param(
            {30: 99},
            {2: 1},
            1,
            "dead letters; 1 died in the last hour, 2 min ago; the last error: answered 404",
            id="one of many",
        ),
    ],
)
def test_the_condition_says_how_it_is_now_and_then_what_died(delivered, died, dead, said):
    error = an_error(reason="answered 404") if dead else None
    assert in_words(went(delivered, died, dead=dead, last_error=error))[0] == said


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"failures": 2}, "failing"),
        ({"circuit": "open"}, "circuit open"),
        ({"circuit": "probing"}, "probing"),
        ({"throttled": True}, "throttled"),
        ({"held": "paused by ada: an upgrade"}, "paused"),
        ({"in_file": False}, "not in routes.yaml"),
    ],
)
def test_what_holds_it_now_comes_before_what_died(more, word):
    assert went({0: 1}, {12: 4}, dead=4, **more)["condition"] == word


@story
async def test_one_whose_dead_letters_were_replayed_is_healthy_at_once_and_after_a_restart(tmp_path):
    with Sink(answer(404)) as sink:
        async with Desk(tmp_path, to_crm(sink)) as desk:
            for number in range(2):
                await desk.receive(numbered(number))
            await desk.turn()
            assert (await desk.ask("/api/destinations"))[1][0]["condition"] == "giving up"
            sink.at("/", answer(200))
            await desk.ask("/api/replay", {"state": "dead", "by": "ann"})
            await desk.later(1)
            _, [crm] = await desk.ask("/api/destinations")
            assert (crm["condition"], crm["dead"]) == ("healthy", 0)
            assert crm["lately"] == "2 died in the last hour, the last one just now"
            page = (await desk.client.get("/destinations", headers={"accept": "text/html"})).text
            assert "2 died in the last hour, the last one just now." in page
        async with Desk(tmp_path, to_crm(sink)) as desk:
            assert (await desk.ask("/api/destinations"))[1][0]["condition"] == "healthy"
