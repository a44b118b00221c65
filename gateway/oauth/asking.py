"""Tokens asked of an authorization server, once each; what it answers is bounded in time and in size."""

from collections.abc import Callable
from typing import Final

from gateway import telemetry
from gateway.egress import Door, Egress
from gateway.errors import EgressError, GatewayError, TokenUnavailable
from gateway.oauth import exchange
from gateway.oauth.exchange import Form, Granted, Refused
from gateway.oauth.settings import OAuth

#: What one request may take, seconds.
REQUEST_S: Final = 5.0
#: If an assertion is refused and the clocks differ by at least this, seconds, another one is dated by the server's clock.
SKEW_S: Final = 20.0


class Ended(GatewayError):
    """A login can no longer be used; says why."""

    def __init__(self, why: str, *, remedy: str = "") -> None:
        super().__init__(why)
        #: What helps instead of another login; empty: nothing does.
        self.remedy = remedy


class Asking:
    """Asks through the door out. ``clock`` dates assertions: seconds since the epoch."""

    def __init__(self, egress: Egress, clock: Callable[[], float]) -> None:
        self._egress = egress
        self._clock = clock

    async def on_its_own(self, oauth: OAuth, door: Door) -> Granted:
        """A token for a client that needs no login. Raises TokenUnavailable, or Ended if its assertion is refused."""
        if oauth.assertion is None:
            return await self._granted(oauth, door, exchange.client_form(oauth))
        try:
            return await self._asserted(oauth, door, 0.0)
        except Refused as refused:
            skew_s = refused.skew_s
            if abs(skew_s) < SKEW_S:
                raise Ended(f"{oauth.host} refuses its assertion ({refused})") from None
        # By the server's clock, if ours is wrong.
        try:
            granted = await self._asserted(oauth, door, skew_s)
        except Refused as refused:
            differ = f"the clocks differ by {abs(skew_s):.0f} s"
            raise Ended(f"{oauth.host} refuses its assertion ({refused}; {differ})") from None
        telemetry.log("token.clock", host=oauth.host, ahead_s=round(skew_s, 1))
        return granted

    async def refreshed(self, oauth: OAuth, door: Door, refresh_token: str) -> Granted:
        """A token for a refresh token. Raises TokenUnavailable, or Refused if it can no longer be used."""
        form = exchange.refresh_form(refresh_token)
        return await self._granted(oauth, door, form, may_end=True, sent=refresh_token)

    async def _asserted(self, oauth: OAuth, door: Door, skew_s: float) -> Granted:
        from gateway.oauth import assertions

        assert oauth.assertion is not None
        # RSA takes a millisecond.
        signed = assertions.signed(oauth.assertion, scope=oauth.scope, now=self._clock() + skew_s)
        return await self._granted(oauth, door, exchange.assertion_form(oauth, signed), may_end=True, sent=signed)

    async def _granted(self, oauth: OAuth, door: Door, form: Form, *, may_end: bool = False, sent: str = "") -> Granted:
        """What is granted. Raises TokenUnavailable; Refused for ``invalid_grant`` where a login ``may_end``."""
        request, most = exchange.request(oauth, oauth.token_url, form), exchange.LONGEST_ANSWER + 1
        try:
            reply = await self._egress.send(request, timeout_s=REQUEST_S, door=door, most=most)
            return exchange.granted(reply, oauth.host, now=self._clock(), secrets=(sent, oauth.client_secret))
        except EgressError as error:
            raise TokenUnavailable(f"{oauth.host}, which issues its tokens: {error}") from None
        except Refused as refused:
            if may_end and refused.code == "invalid_grant":
                raise
            raise TokenUnavailable(f"{oauth.host} issues no token: {refused}; correct auth.oauth2") from None
