"""What a sender is answered once its events are stored, where the gateway's own answer would not do."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from gateway.event.paths import Facts
from gateway.model import Content, Json, Raw, Text
from gateway.render import Renderer
from gateway.signatures.handshakes import Answer
from gateway.store.nouns import Appended


class Accepted(Struct, frozen=True):
    """The events of a request are stored."""

    appended: Sequence[Appended]
    #: What the sender is answered; None: the gateway's own words.
    answer: Answer | None = None


class Reply(Struct, frozen=True, kw_only=True):
    """The answer to a sender, made from the first event of its request."""

    #: 2xx.
    status: int
    content: Renderer[Content]
    #: Of a text; JSON and template files have their own.
    content_type: str

    def answer(self, facts: Facts) -> Answer:
        """The answer for one event. Raises RenderError."""
        content = self.content(facts)
        match content:
            case Text(text):
                body, content_type = text.encode(), self.content_type
            case Json(value):
                body, content_type = msgspec.json.encode(value), "application/json"
            case Raw(body, content_type):
                pass
        return Answer(status=self.status, content_type=content_type, body=body)
