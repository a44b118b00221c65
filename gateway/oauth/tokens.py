"""The access tokens of this process: fetched before they end, once for all who wait, and again once if one is refused.

A refresh token that may be good for one use only is used by one replica at a time, and its successor is in the store
before anything is sent with what came with it.
"""

import asyncio
import secrets
from collections.abc import Callable
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from gateway import telemetry
from gateway.destinations import Kind
from gateway.egress import LONGEST_ANSWER, Door, Egress
from gateway.errors import NotLoggedIn, StoreUnavailable, TokenAwaited, TokenUnavailable
from gateway.hiding.masks import Masks
from gateway.model import HttpRequest, OutboundRequest, Reply
from gateway.oauth import sealing
from gateway.oauth.asking import Asking, Ended
from gateway.oauth.exchange import Granted, Refused
from gateway.oauth.settings import LEAST_S, WAIT_S, OAuth
from gateway.store import Store
from gateway.store.logins import Login

#: How long of WAIT_S another replica may take that is renewing the login, seconds; the rest is for one request.
BUSY_S: Final = 2.5
#: Nobody else uses a refresh token for this long after one replica has begun to, seconds.
OWNED_S: Final = 15.0
#: Seconds between two looks whether another replica has finished, and between two tries to store a successor.
AGAIN_S: Final = 0.2
#: A token is not used in the last seconds of its life, or in the last tenth of a short one; for a while before that the
#: next one is fetched while it is still in use.
SPARE_S: Final = 10.0
AHEAD_S: Final = 60.0
#: Seconds between two tries to fetch the next one in advance.
PAUSE_S: Final = 5.0
#: How long the end of the process waits for refresh tokens that are in use, seconds.
ENDING_S: Final = 10.0
UNAUTHORIZED: Final = 401

#: Tokens of equal settings that are fetched through the same door are the same.
_Way = tuple[OAuth, Door]


class Recipient(Protocol):
    """A destination, as far as it matters here."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def timeout_s(self) -> float: ...
    @property
    def door(self) -> Door: ...
    @property
    def oauth(self) -> OAuth | None:
        """How it gets access tokens; None: it wants none."""


class _Held(Struct, frozen=True):
    """A token in use; times are on the monotonic clock. Its repr hides it."""

    token: str
    #: When the next one is fetched, and when this one is not used any more.
    renew_at: float
    until: float
    #: Finds it in what a destination says, however that spells it.
    masks: Masks

    def __repr__(self) -> str:
        return f"_Held(until={self.until})"


class Tokens:
    """Access tokens for the destinations that ask for them. One for each process."""

    def __init__(
        self,
        egress: Egress,
        store: Store,
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        asked: Callable[[str, float, str | None], None] = lambda _host, _took_s, _error: None,
    ) -> None:
        """``asked`` is called for each token with its host, the seconds it took, and the reason if there is none."""
        self._egress = egress
        self._store = store
        self._clock = clock
        self._monotonic = monotonic
        self._asked = asked
        self._asking = Asking(egress, clock)
        self._me = secrets.token_hex(8)
        self._held: dict[_Way, _Held] = {}
        self._fetching: dict[_Way, asyncio.Task[_Held]] = {}
        #: When the next token may be fetched in advance, after a fetch that failed.
        self._not_before: dict[_Way, float] = {}

    # attempts

    async def send(self, request: OutboundRequest, to: Recipient, *, most: int = LONGEST_ANSWER) -> Reply:
        """Make one attempt, with an access token if the recipient wants one; again, once, with a new one if it answers 401.

        Neither what may be shown of the answer nor its headers have the token. Raises what ``Egress.send`` raises, and
        NoToken, after which nothing was sent or all of it was answered with 401.
        """
        if to.oauth is None or not isinstance(request, HttpRequest):
            return await self._egress.send(request, timeout_s=to.timeout_s, door=to.door, most=most)
        way, loop = (to.oauth, to.door), asyncio.get_running_loop()
        held = await self._token(way, to.name)
        began = loop.time()
        reply = await self._egress.send(_with(request, held.token), timeout_s=to.timeout_s, door=to.door, most=most)
        if to.kind.status_of(reply) == UNAUTHORIZED:
            left_s = max(LEAST_S, to.timeout_s - (loop.time() - began))
            held = await self._token(way, to.name, refused=held.token)
            reply = await self._egress.send(_with(request, held.token), timeout_s=left_s, door=to.door, most=most)
        return _without(reply, held.masks)

    def until(self, oauth: OAuth) -> float | None:
        """Until when this process has a token, seconds since the epoch; None: it has none, or one that does not end."""
        ends = [held.until for (each, _), held in self._held.items() if each == oauth]
        left_s = max(ends, default=0.0) - self._monotonic()
        return self._clock() + left_s if 0 < left_s < float("inf") else None

    async def try_out(self, oauth: OAuth, name: str, *, door: Door) -> None:
        """Fetch a token, unless there is a valid one. Raises NoToken."""
        await self._token((oauth, door), name)

    async def _token(self, way: _Way, name: str, refused: str = "") -> _Held:
        """A valid token other than the one that was refused. Raises NoToken."""
        held, now = self._held.get(way), self._monotonic()
        if held is not None and held.token == refused:
            del self._held[way]
        elif held is not None and now < held.until:
            if now >= max(held.renew_at, self._not_before.get(way, 0.0)):
                self._fetch_once(way)
            return held
        try:
            async with asyncio.timeout(WAIT_S):
                return await asyncio.shield(self._fetch_once(way))
        except TimeoutError:
            raise TokenUnavailable(f"{way[0].host} has issued no token within {WAIT_S:g} s") from None
        except Ended as ended:
            remedies = filter(None, (ended.remedy, way[0].remedy(name)))
            raise NotLoggedIn(f"{ended}: {', or '.join(remedies)}") from None
        except StoreUnavailable as error:
            raise TokenAwaited(f"its login cannot be read or kept: {error}") from None

    def _fetch_once(self, way: _Way) -> "asyncio.Task[_Held]":
        """The fetch that is under way, or a new one. It continues if nobody waits for it any more."""
        task = self._fetching.get(way)
        if task is None:
            began = self._monotonic()
            task = self._fetching[way] = asyncio.create_task(self._fetch(way))
            task.add_done_callback(lambda done: self._fetched(way, done, began))
        return task

    def _fetched(self, way: _Way, task: "asyncio.Task[_Held]", began: float) -> None:
        del self._fetching[way]
        self._not_before.pop(way, None)
        if task.cancelled():
            return
        error = task.exception()
        self._asked(way[0].host, self._monotonic() - began, str(error) if error else None)
        if error is not None:
            self._not_before[way] = self._monotonic() + PAUSE_S
            telemetry.log("token.failed", host=way[0].host, reason=str(error))

    async def _fetch(self, way: _Way) -> _Held:
        oauth, door = way
        began = self._monotonic()
        if oauth.is_kept:
            granted = await self._renewed(oauth, door)
        else:
            granted = await self._asking.on_its_own(oauth, door)
        telemetry.log("token.fetched", host=oauth.host, lasts_s=granted.lasts_s)
        self._held = {way: held for way, held in self._held.items() if held.until > began}
        found = self._held[way] = _held(granted, began)
        return found

    # the login in the store

    async def _renewed(self, oauth: OAuth, door: Door) -> Granted:
        """A token for the refresh token of a login, whose successor is in the store. Raises Ended, TokenAwaited."""
        used = _refresh_token(oauth, await self._login(oauth))
        login = await self._taken(oauth)
        try:
            # Another replica may have used it while this one waited.
            used = _refresh_token(oauth, login)
            granted = await self._asking.refreshed(oauth, door, used)
        except Refused as refused:
            await self._give_back(replace(login, ended=f"{refused}"))
            raise Ended(f"{oauth.host} no longer accepts its login ({refused})") from None
        except BaseException:
            await self._give_back(login)
            raise
        await self._keep(_succeeding(oauth, login, used, granted, self._clock()), login.sealed)
        return granted

    async def _login(self, oauth: OAuth) -> Login:
        found = {each.id: each for each in await self._store.logins()}
        return found.get(oauth.login_id) or Login(id=oauth.login_id)

    async def _taken(self, oauth: OAuth) -> Login:
        """The login, which no other replica uses for a while. Raises TokenAwaited."""
        loop = asyncio.get_running_loop()
        until = loop.time() + BUSY_S
        while loop.time() < until:
            login = await self._login(oauth)
            if login.owned_s <= 0 or login.owner == self._me:
                taken = replace(login, owner=self._me, owned_s=OWNED_S)
                if await self._store.set_login(taken):
                    return replace(taken, rev=taken.rev + 1)
            await asyncio.sleep(AGAIN_S)
        raise TokenAwaited("another replica is renewing its login")

    async def _give_back(self, login: Login) -> None:
        """Let others use a login that is not changed otherwise, unless it was replaced meanwhile. Never fails."""
        try:
            await self._store.set_login(replace(login, owner="", owned_s=0.0))
        except StoreUnavailable as error:
            telemetry.log("store.unavailable", reason=str(error))

    async def _keep(self, login: Login, used: bytes) -> None:
        """Store a successor, however long the store refuses; ``used`` is what was stored of the token before it."""
        while True:
            try:
                if await self._store.set_login(login):
                    return
                found = {each.id: each for each in await self._store.logins()}.get(login.id)
                if found is None or found.sealed != used:
                    # Somebody has logged in again.
                    return
                login = replace(login, rev=found.rev)
            except StoreUnavailable as error:
                # Without it nobody can renew the login again.
                telemetry.log("store.unavailable", reason=str(error))
                await asyncio.sleep(AGAIN_S)

    async def log_in(self, oauth: OAuth, refresh_token: str, *, by: str) -> None:
        """Keep the refresh token of somebody who has logged in, instead of any other. Raises StoreUnavailable."""
        id_ = oauth.login_id
        sealed = sealing.sealed(refresh_token, key=oauth.secret_key, login_id=id_)
        while True:
            rev = (await self._login(oauth)).rev
            if await self._store.set_login(Login(id=id_, rev=rev, sealed=sealed, by=by, since=self._clock())):
                break
        self._held = {way: held for way, held in self._held.items() if way[0].login_id != id_}

    async def close(self) -> None:
        """Let those who use a refresh token store its successor; afterwards nothing is under way."""
        if self._fetching:
            _, left = await asyncio.wait(list(self._fetching.values()), timeout=ENDING_S)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)


def _refresh_token(oauth: OAuth, login: Login) -> str:
    """The refresh token to use. Raises Ended."""
    if not login.sealed:
        if not oauth.refresh_token:
            raise Ended("nobody has logged in yet")
        return oauth.refresh_token
    try:
        return sealing.opened(login.sealed, key=oauth.secret_key, login_id=login.id)
    except sealing.Unsealable as error:
        why = f"its stored login cannot be read because {error}"
        raise Ended(why, remedy="set that key again and resume it") from None


def _succeeding(oauth: OAuth, login: Login, used: str, granted: Granted, now: float) -> Login:
    """A login after a use of its refresh token."""
    until = None if granted.lasts_s is None else now + granted.lasts_s
    free = replace(login, until=until, ended="", owner="", owned_s=0.0)
    if not granted.refresh_token or granted.refresh_token == used:
        return free
    sealed = sealing.sealed(granted.refresh_token, key=oauth.secret_key, login_id=login.id)
    return replace(free, sealed=sealed, since=now)


def _held(granted: Granted, began: float) -> _Held:
    token, lasts_s = granted.access_token, granted.lasts_s
    if lasts_s is None:
        return _Held(token, float("inf"), float("inf"), Masks((token,)))
    until = began + lasts_s - min(SPARE_S, lasts_s / 10)
    return _Held(token, until - min(AHEAD_S, lasts_s / 5), until, Masks((token,)))


def _with(request: HttpRequest, token: str) -> HttpRequest:
    others = tuple(each for each in request.headers if each[0] != "authorization")
    return replace(request, headers=(*others, ("authorization", f"Bearer {token}")))


def _without(reply: Reply, masks: Masks) -> Reply:
    """An answer that may be shown: some repeat what they were sent."""
    if (shown := masks.answer(reply.body)) is not reply.body:
        reply = replace(reply, shown=shown)
    headers = {name: masks.text(value) for name, value in reply.headers.items()}
    return reply if headers == reply.headers else replace(reply, headers=headers)
