"""A gateway with a real store and a real destination, and a clock that is moved by hand."""

import asyncio
import functools
import json
from collections.abc import Mapping
from pathlib import Path

from gateway.config import load
from gateway.dispatcher import Dispatcher
from gateway.egress import Egress
from gateway.operate.operations import Move, Operations
from gateway.operate.upkeep import Upkeep
from gateway.pipeline import receive
from gateway.poison import CrashSlot, blame
from gateway.presets import load as load_preset
from gateway.process import Gateway
from gateway.routing.questions import source_at
from gateway.signatures import Request
from gateway.store import open_store
from tests.sink import Sink

HEAD = "version: 1\nsources: {xobito: {preset: xobito, secret: s3cret}}\n"
REDACTING = HEAD.replace("s3cret}", "s3cret, redact: {paths: [attrs.email, attrs.phone], store: true}}")
BODY = load_preset("xobito").samples["contact.created"]


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0
        #: How far the clock on the wall was set, seconds.
        self.jump = 0.0

    def __call__(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self.jump


class World:
    """A gateway whose dispatcher is turned by hand."""

    def __init__(self, folder: Path, text: str, *, environ: Mapping[str, str] | None = None, store: str = "") -> None:
        """``store``: the URL of another store than a file in the folder."""
        self.folder = folder
        self._url = store or f"sqlite:///{folder}/gateway.db"
        self.environ = environ or {}
        self.clock = Clock()
        self.write(text)

    def write(self, text: str) -> None:
        path = self.folder / "routes.yaml"
        path.write_text(text if text.startswith("version:") else HEAD + text)
        self.config = load(path, environ=self.environ)

    async def __aenter__(self) -> "World":
        self.store = await open_store(self._url, clock=self.clock, wall=self.clock.wall)
        crash_slot = CrashSlot(f"{self.folder}/gateway.db.now")
        await blame(crash_slot, self.store)
        self.gateway = Gateway(
            config=self.config,
            store=self.store,
            egress=Egress(),
            crash_slot=crash_slot,
            noise=lambda: 0.5,
            clock=self.clock.wall,
            monotonic=self.clock,
        )
        self.dispatcher = Dispatcher(self.gateway)
        self.operations = Operations(self.gateway, self.dispatcher)
        self.upkeep = Upkeep(self.gateway, lambda: True)
        await self.dispatcher.recall()
        return self

    async def __aexit__(self, *_) -> None:
        await self.dispatcher.abandon()
        await self.gateway.tokens.close()
        await self.gateway.egress.close()
        await self.store.close()
        self.gateway.crash_slot.close()

    def reload(self, text: str) -> None:
        self.write(text)
        self.gateway.config = self.config

    async def receive(self, body: bytes = BODY, path: str = "/in/xobito"):
        config = self.gateway.config
        source, _ = source_at(config, path)
        [(name, value)] = source.verifier.sign(Request(headers=[], body=body), 0, "").headers
        headers = [(name.encode(), value.encode()), (b"content-type", b"application/json"), (b"cookie", b"c=1")]
        request = Request(headers=headers, body=body)
        [appended] = (await self.received(source, request)).appended
        return appended

    async def received(self, source, request: Request):
        """What becomes of one request."""
        return await receive(self.gateway, self.dispatcher, self.gateway.config, source, request)

    async def replay(self, *ids: str) -> None:
        await self.operations.carry_out(Move(verb="replay", by="test", ids=ids))

    async def turn(self) -> None:
        """Carry out everything that is due now."""
        await self.dispatcher.idle()
        while await self._claimed():
            await self.dispatcher.idle()

    async def _claimed(self) -> bool:
        """One round for every destination that something waits for; whether it started anything."""
        waiting = {destination for _, destination in await self.store.waiting()}
        # What opens a gate by itself runs on the real clock, and here another one counts.
        self.dispatcher.reconfigured()
        await self.dispatcher.holds.refresh(waiting)
        self.dispatcher._due.look_at(waiting)
        await self.dispatcher._claim(self.dispatcher._wants())
        return bool(self.dispatcher._attempts)

    async def later(self, seconds: float) -> None:
        self.clock.now += seconds
        await self.turn()

    async def delivery(self, event_id: str):
        [delivery] = (await self.store.event(event_id)).deliveries
        return delivery


def story(test):
    """Run an async test."""

    @functools.wraps(test)
    def run(**fixtures):
        asyncio.run(test(**fixtures))

    return run


def to_crm(sink: Sink, **options: object) -> str:
    destination = json.dumps({"url": sink.url, **options})
    return (
        f"destinations: {{crm: {destination}}}\nroutes: [{{name: all, to: crm, body: {{id: '{{{{ attrs.id }}}}'}}}}]\n"
    )


def numbered(number: int) -> bytes:
    """The same event in other bytes, which make another key."""
    return BODY + b" " * number


def contact(number: int, contact_id: int = 1) -> bytes:
    payload = json.loads(BODY)
    payload["data"]["attributes"].update(id=contact_id, note=number)
    return json.dumps(payload).encode()


def notes(sink: Sink, path: str = "/") -> list[int]:
    return [json.loads(request.body)["note"] for request in sink.requests if request.path.startswith(path)]


def in_order(sink: Sink, **options: object) -> str:
    destination = json.dumps({"url": sink.url, "order_by": "attrs.id", **options})
    body = "{id: '{{ attrs.id }}', note: '{{ attrs.note }}'}"
    return f"destinations: {{crm: {destination}}}\nroutes: [{{name: all, to: crm, body: {body}}}]\n"


async def stored(world: World):
    """An event that was kept and whose delivery has not started."""
    stopped = Dispatcher(world.gateway)
    await stopped.recall()
    stopped.stop()
    going, world.dispatcher = world.dispatcher, stopped
    event_id = (await world.receive()).event_id
    world.dispatcher = going
    return await world.store.event(event_id)


def with_alerts(sink: Sink, more: str = "") -> str:
    said = "text: '{{ delivery.destination }} {{ delivery.reason }} {{ delivery.link }}'"
    return (
        # An attempt is bounded by a clock that nobody moves by hand: a busy machine must not make a retry of one of many.
        f"destinations: {{crm: {{url: {sink.url}/crm, timeout: 60s}}, alerts: {{url: {sink.url}/alerts}}}}\n"
        "routes: [{name: all, to: crm, body: {id: '{{ attrs.id }}'}}]\n"
        f"failed: [{{to: alerts, {said}}}]\nconsole_url: https://hooks.example.com\n{more}"
    )


def alerts(sink: Sink) -> list[str]:
    return [json.loads(request.body)["text"] for request in sink.requests if request.path == "/alerts"]
