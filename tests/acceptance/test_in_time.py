"""The file of the tutorial about time, run for real over a night and a week, and killed on the way."""

import json
import re
from pathlib import Path

import pytest

from gateway.rehearsal.expectations import failures, read
from tests.acceptance.harness import SAMPLES, SECRET, GatewayProcess, eventually
from tests.acceptance.moved_clock import PROGRAM, MovedClock
from tests.acceptance.stores import url_of
from tests.sink import Sink, answer

PAGE = Path(__file__).parents[2] / "docs" / "tutorial-in-time.md"


def example(url=""):
    """The file of the page; with ``url``, what it sends goes there."""
    [text] = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    if url:
        text = re.sub(r'url: "\$\{SLACK_(\w+)_URL\}"\}', rf"url: {url}/\1, public: false, rate: 200/s}}", text)
    return text


def test_the_tests_in_the_file_pass(tmp_path):
    (tmp_path / "routes.yaml").write_text(example())
    config = read(tmp_path / "routes.yaml")
    assert {each.name: failures(config, each, tmp_path) for each in config.tests} == {
        each.name: [] for each in config.tests
    }
    assert len(config.tests) == 7


def created(number, name):
    return _contact("created", number, {"firstname": name, "lastname": "", "status_id": 1, "email": f"{number}@x.org"})


def updated(number, **fields):
    return _contact("updated", number, fields)


def _contact(what, number, fields):
    payload = json.loads(SAMPLES[f"contact.{what}"])
    payload["data"] = {"id": number, "attributes": {"id": number, **fields}}
    return json.dumps(payload).encode()


class Story:
    """The gateway with the file of the page, from one moment to the next; each time it was killed in between."""

    def __init__(self, folder, sink):
        self._sink = sink
        environ = {"XOBITO_WEBHOOK_SECRET": SECRET}
        self.clock = MovedClock(folder, url_of(folder))
        self.gateway = GatewayProcess(
            folder, example(sink.url), command=PROGRAM, environ={**environ, **self.clock.environ}
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.gateway.__exit__()

    def at(self, moment):
        """Kill it, and start it at this moment."""
        self.gateway.kill()
        self.clock.set(moment)
        self.gateway.start()

    def post(self, body):
        status, said = self.gateway.post(body)
        assert status == 202
        return said["id"]

    def waits(self, event_id):
        """When each delivery of an event is sent, by route."""
        return {each["route"]: each["waits_until"] for each in self.gateway.deliveries(event_id)}

    def wait_for(self, route, count):
        """Wait until so many deliveries of a route are delivered: one whose answer was not recorded is sent again."""
        where = f"/api/deliveries?state=delivered&route={route}"
        eventually(lambda: len(self.gateway.api(where)[1]["deliveries"]) == count, f"{count} of {route} are delivered")

    def said(self, channel):
        found = [each for each in self._sink.requests if each.path == f"/{channel}"]
        return [json.loads(each.body)["text"] for each in found]


@pytest.mark.usefixtures("each_store")
@pytest.mark.timeout(300)
def test_a_week_of_sales_with_a_kill_before_each_moment(tmp_path):
    with Sink(answer(200)) as sink, Story(tmp_path, sink) as story:
        # A lead at 22:00 on a Thursday waits until morning.
        story.at("2027-01-07T22:00:00+01:00")
        ada = story.post(created(1, "Ada"))
        waits = story.waits(ada)
        assert waits["new-lead"].startswith("2027-01-08T08:00:0")
        assert waits["week"].startswith("2027-01-11T08:00:0")
        assert ", waits until 2027-01-08 " in story.gateway.verb("show", ada).stdout

        # A silent night raises an alarm, once.
        story.at("2027-01-08T06:30:00+01:00")
        story.clock.advance(61)
        story.wait_for("alarm", 1)
        assert "xobito has sent no contact.* for 8h" in story.said("OPS")[0]

        # In the morning the lead goes out, and not a second earlier.
        assert story.said("SALES") == []
        story.at("2027-01-08T08:59:57+01:00")
        story.wait_for("new-lead", 1)
        assert story.clock.now() >= 1799395200, "it is nine o'clock"
        assert story.said("SALES") == [":wave: New lead Ada"]
        assert len(story.said("OPS")) == 1

        # She becomes Qualified while Slack is away; the message says what was there before, whatever comes meanwhile.
        sink.at("/SALES", answer(503))
        story.at("2027-01-08T10:00:00+01:00")
        qualified = story.post(updated(1, status_id=3))
        eventually(lambda: story.gateway.deliveries(qualified)[0]["attempts"], "it was tried")
        story.gateway.kill()
        sink.at("/SALES", answer(200))
        before = len(story.said("SALES"))
        story.at("2027-01-08T14:00:00+01:00")
        story.post(updated(1, status_id=3, phone="+15550100"))
        story.post(updated(1, status_id=2))
        assert story.post(updated(1, status_id=3)) == qualified, "the same bytes again: a duplicate"
        story.wait_for("qualified", 1)
        assert story.said("SALES")[before:] == ["*Ada*: New -> Qualified\n1@x.org"]

        # The weekend gathers.
        story.at("2027-01-09T12:00:00+01:00")
        story.post(created(2, "Bob"))
        story.at("2027-01-10T23:59:00+01:00")
        cid = story.post(created(3, "Cid"))
        assert f"in digest {story.gateway.deliveries(cid)[1]['digest']}" in story.gateway.verb("show", cid).stdout

        # The new contacts of the week are one message.
        story.at("2027-01-11T08:59:57+01:00")
        before = len(story.said("SALES"))
        story.wait_for("week", 3)
        story.wait_for("new-lead", 3)
        assert story.clock.now() >= 1799654400, "it is nine o'clock"
        assert [each.split() for each in story.said("TEAM")] == [["3", "new", "contacts:", "Ada", "Bob", "Cid"]]
        assert sorted(story.said("SALES")[before:]) == [":wave: New lead Bob", ":wave: New lead Cid"]

        # Nothing is sent again, and nothing was lost.
        story.at("2027-01-11T09:30:00+01:00")
        assert story.gateway.api("/api/deliveries?state=pending")[1]["deliveries"] == []
        assert story.gateway.api("/api/deliveries?state=dead")[1]["deliveries"] == []
        assert len(story.said("TEAM")) == 1
        assert story.gateway.terminate() == 0
