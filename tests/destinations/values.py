"""An event and its parts, for the tests of every kind of destination."""

import hashlib
from typing import Any

from gateway.destinations import Parts
from gateway.model import Event


def event(body: bytes = b'{"a": 1.0,\n "b": "\xc3\xa9"}', **headers: str) -> Event:
    return Event(
        id="evt_1",
        source="xobito",
        type="contact.created",
        received_at=1_767_225_600.25,
        headers={"content-type": "application/json", **headers},
        body=body,
        sha256=hashlib.sha256(body).digest(),
    )


def parts(**values: Any) -> Parts:
    return Parts(**{"event": event(), "delivery_id": "dlv_1", **values})
