"""What the connections of one listener share."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from msgspec import Struct
from uvicorn.server import ServerState

from gateway.routing.peers import Senders
from gateway.server.budget import Budget
from gateway.server.crowd import Crowd
from gateway.server.limits import Limits
from gateway.server.pressure import Pressure

ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]


class Shared(Struct, frozen=True, kw_only=True):
    """What the connections of one listener share."""

    config: uvicorn.Config
    state: ServerState
    loop: asyncio.AbstractEventLoop
    limits: Limits
    crowd: Crowd
    budget: Budget
    senders: Senders
    pressure: Pressure
    #: Gets whatever an app raised.
    failed: Callable[[Exception], None]
