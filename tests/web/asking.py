"""A door that is asked without a server: a scope, the messages that arrive, and the answer that goes out."""

import asyncio
import hashlib
import hmac
import json
from dataclasses import dataclass, field

from gateway.event.codings import HOLD
from gateway.routing.peers import Peers, Senders
from gateway.web import Readiness, Rejections
from gateway.web.door import Door
from tests.web.desk import Desk


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self):
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)


class AtTheDoor(Desk):
    """A desk whose door is asked without a server."""

    async def __aenter__(self) -> "AtTheDoor":
        await super().__aenter__()
        self.readiness = Readiness()
        self.rejections = Rejections(self.store, self.clock)
        self.senders = Senders(lambda: Peers(share_private=True))
        self.door = Door(self.gateway, self.dispatcher, self.readiness, self.rejections, self.senders)
        self.messages_left = 0
        return self

    async def send(
        self, *pieces, path="/in/xobito", method="POST", query=b"", headers=None, through=None, hold=None
    ) -> Answer:
        """One request whose body arrives in ``pieces``; a piece that is None is the sender hanging up."""
        headers = signed(b"".join(filter(None, pieces))) if headers is None else headers
        messages = [
            {"type": "http.disconnect"}
            if piece is None
            else {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
            for number, piece in enumerate(pieces or [b""], start=1)
        ]
        answer = Answer()

        async def receive():
            return messages.pop(0)

        async def send(message):
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                answer.body += message["body"]

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query,
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "state": {},
            **({"extensions": {HOLD: hold}} if hold else {}),
        }
        await (through or self.door)(scope, receive, send)
        self.messages_left = len(messages)
        assert "content-length" not in answer.headers or int(answer.headers["content-length"]) == len(answer.body)
        return answer

    async def refused(self) -> list[tuple[str, int, str]]:
        await self.rejections.flush()
        return [(each.path, each.status, each.reason) for each in await self.store.rejected()]

    async def kept(self) -> int:
        status, answer = await self.ask("/api/events")
        assert status == 200
        return len(answer["events"])


def signed(body: bytes, **more: str) -> dict[str, str]:
    signature = hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    return {"content-type": "application/json", "x-webhook-signature": signature} | more


def with_file(file):
    """Run a test on a door of its own, with that routes.yaml."""

    def decorate(scenario):
        def run(tmp_path):
            async def whole():
                async with AtTheDoor(tmp_path, file) as door:
                    await scenario(door)

            asyncio.run(whole())

        run.__name__, run.__doc__ = scenario.__name__, scenario.__doc__
        return run

    return decorate
