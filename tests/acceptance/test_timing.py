"""What waits for its time, over kills of the process."""

import json

import pytest

from tests.acceptance.harness import GatewayProcess, distinct, eventually
from tests.acceptance.moved_clock import PROGRAM, MovedClock
from tests.acceptance.stores import url_of
from tests.sink import Sink

ROUTES = """
version: 1
sources: {{xobito: {{preset: xobito, secret: acceptance-secret}}}}
destinations:
  crm: {{url: "{url}/crm"}}
  chat: {{url: "{url}/chat"}}
  later: {{url: "{url}/later"}}
routes:
  - {{name: digest, match: contact.created, to: chat, digest: {{every: 1h}}, text: "{{{{ count }}}}: {{% for each in events %}}{{{{ each.attrs.id }}}} {{% endfor %}}"}}
  - {{name: calm, match: contact.created, to: crm, debounce: {{per: one, for: 1h}}, text: "{{{{ attrs.id }}}}"}}
  - {{name: late, match: contact.created, to: later, delay: 1h, text: "{{{{ attrs.id }}}}"}}
""".replace("per: one", 'per: "{{{{ event.type }}}}"')


@pytest.mark.usefixtures("each_store")
def test_what_waits_is_sent_once_after_a_kill_between_the_last_event_and_its_delivery(tmp_path):
    with Sink() as sink:
        clock = MovedClock(tmp_path, url_of(tmp_path))
        gateway = GatewayProcess(tmp_path, ROUTES.format(url=sink.url), command=PROGRAM, environ=clock.environ)
        gateway.start()
        events = [gateway.post(distinct(number))[1]["id"] for number in (1, 2, 3)]
        gateway.kill()
        assert not sink.requests
        clock.advance(3601.0)
        with gateway:

            def texts(path):
                return [json.loads(each.body)["text"] for each in sink.requests if each.path == path]

            eventually(lambda: len(sink.requests) >= 5, "everything is sent")
            assert texts("/chat") == ["3: 1 2 3 "], "one message"
            assert texts("/crm") == ["3"], "only the last event"
            assert sorted(texts("/later")) == ["1", "2", "3"]
            states = [[each["state"] for each in gateway.settled(id_)] for id_ in events]
            assert gateway.terminate() == 0
        assert states == [["delivered", "discarded", "delivered"]] * 2 + [["delivered"] * 3]
        assert len(sink.requests) == 5
