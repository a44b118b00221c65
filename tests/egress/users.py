"""The two users of the door: an attempt, and a request of httpx. Each sends once and gets an answer or our own error."""

from collections.abc import Awaitable, Callable

import httpx
import pytest

from gateway.egress import Door, Egress
from gateway.egress.client import LONGEST_VALUE, client
from gateway.errors import ConnectFailed, EgressError
from gateway.model import HttpRequest, Reply

LONG_S = 30.0
PLAIN = Door()

User = Callable[..., Awaitable[Reply | EgressError]]


async def attempt(
    egress: Egress, url: str, door: Door = PLAIN, timeout_s: float = LONG_S, body: bytes = b"{}"
) -> Reply | EgressError:
    request = HttpRequest(method="POST", url=url, headers=(("webhook-id", "dlv_1"),), body=body)
    try:
        return await egress.send(request, timeout_s=timeout_s, door=door)
    except EgressError as error:
        return error


async def flow(
    egress: Egress, url: str, door: Door = PLAIN, timeout_s: float = LONG_S, body: bytes = b"{}"
) -> Reply | EgressError:
    async with client(egress, door=door, timeout_s=timeout_s, most=LONGEST_VALUE) as http:
        try:
            response = await http.post(url, content=body)
        except EgressError as error:
            return error
        except httpx.InvalidURL:
            return ConnectFailed("the url cannot be used")
    return Reply(status=response.status_code, headers=dict(response.headers), body=response.content)


both = pytest.mark.parametrize("user", [pytest.param(attempt, id="attempt"), pytest.param(flow, id="httpx")])
