"""What ``gateway send`` says of an answer."""

import pytest

from gateway.cli import send


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (202, '{"id": "evt_1", "duplicate": false}', "push accepted as evt_1"),
        (200, '{"id": "evt_1", "duplicate": true}', "push a duplicate of evt_1"),
        (200, "", "push accepted, answered 200"),
        (200, "<Response/>", "push accepted, answered 200: <Response/>"),
        (201, '{"ok": true}', 'push accepted, answered 201: {"ok": true}'),
        (401, "no", "refused with 401: no: the secret here differs from the gateway's"),
    ],
)
def test_an_answer_in_words(status, answer, said):
    assert send._sentence(status, answer, "push") == said
