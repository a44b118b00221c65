"""The admin listener's application over a world, asked without a socket."""

import json
from typing import Any

import httpx

from gateway.config import load
from gateway.egress import Inbox
from gateway.model import Secret
from gateway.operate.reload import Reloader
from gateway.operate.replicas import Replicas
from gateway.operate.shadows import Shadows
from gateway.operate.vigil import Vigil
from gateway.web import AdminOptions, Context, Live, Readiness
from gateway.web.admin import admin_app
from gateway.web.auth import Access
from gateway.web.health import Scrape
from gateway.web.rejections import Rejections
from gateway.web.sessions import Sessions
from tests.world import World

TOKEN, READ_TOKEN = "5f0c8a7be1d94263a7c41b0e92d86f35", "c83ad1f6075e49b2e6b0947a2d1f5c8e"
HOST = "127.0.0.1:8081"


class Desk(World):
    """A world with its admin listener; ``ask`` is one request."""

    options = AdminOptions(hosts={"127.0.0.1"})

    async def __aenter__(self) -> "Desk":
        await super().__aenter__()
        self.live = Live(self.store)
        self.rejections = Rejections(self.store, self.clock)
        self.readiness = Readiness()
        self.shadows = Shadows(self.gateway)
        self.vigil = Vigil(self.gateway, self.dispatcher, lambda: True)
        self.reloader = Reloader(self.gateway, self.dispatcher, lambda: load(self.folder / "routes.yaml", environ={}))
        self.replicas = Replicas(self.gateway, self.reloader, host=lambda: "desk")
        self.context = Context(
            gateway=self.gateway,
            dispatcher=self.dispatcher,
            operations=self.operations,
            readiness=self.readiness,
            reloader=self.reloader,
            replicas=self.replicas,
            access=Access(
                self.options,
                Sessions(self.store.cluster, self.gateway.monotonic, self.options.tokens()),
                self.clock.wall,
                lambda: self.gateway.config.console_url,
            ),
            live=self.live,
            rejections=self.rejections,
            shadows=self.shadows,
            vigil=self.vigil,
            scrape=Scrape(self.gateway, self.dispatcher, self.readiness),
            inbox=Inbox(clock=self.clock),
        )
        self.app = admin_app(self.context)
        transport = httpx.ASGITransport(self.app)  # type: ignore[arg-type]
        self.client = httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}")
        return self

    async def __aexit__(self, *_) -> None:
        await self.client.aclose()
        await super().__aexit__()

    async def ask(self, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """Status and decoded answer; with a body it is a POST."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is None:
            answer = await self.client.get(path, headers=named)
        else:
            answer = await self.client.post(
                path, content=json.dumps(body), headers={"content-type": "application/json"} | named
            )
        return answer.status_code, answer.json() if "json" in answer.headers.get("content-type", "") else answer.text


class GuardedDesk(Desk):
    """One with both tokens."""

    options = AdminOptions(hosts={"127.0.0.1"}, token=Secret(TOKEN), read_token=Secret(READ_TOKEN))
