"""What ``gateway send`` says of an answer."""

import pytest

from gateway.cli import send


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (202, '{"id": "evt_1", "duplicate": false}', "push accepted as evt_1, of the type push"),
        (200, '{"id": "evt_1", "duplicate": true}', "push a duplicate of evt_1"),
        (200, "", "push accepted, of the type push, answered 200"),
        (200, "<Response/>", "push accepted, of the type push, answered 200: <Response/>"),
        (201, '{"ok": true}', 'push accepted, of the type push, answered 201: {"ok": true}'),
        (401, "no", "refused with 401: no: the secret here differs from the gateway's"),
    ],
)
def test_an_answer_in_words(status, answer, said):
    assert send._sentence(status, answer, "push", "push") == said
