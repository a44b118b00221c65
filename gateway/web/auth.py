"""Access to the admin listener: hosts, origins, two tokens and the console's cookie."""

import hashlib
import hmac
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Literal
from urllib.parse import quote

from litestar import Response
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.handlers.base import BaseRouteHandler
from litestar.response import Redirect
from msgspec import Struct

from gateway import telemetry
from gateway.model import Secret

Role = Literal["full", "read"]

#: Seconds a login lasts.
SESSION_S: Final = 12 * 3600
COOKIE: Final = "gateway_session"
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: Probes use the pod's address and no token.
PROBES: Final = frozenset({"/healthz", "/readyz"})
#: Allowed without a login, or with a read-only one: what it takes to log in and out.
_LOGIN: Final = frozenset({"/login", "/logout", "/console.css", "/console.js"})


class AdminOptions(Struct, frozen=True, kw_only=True):
    """Who may talk to the admin listener."""

    #: Host names it answers to, in lower case, without a port.
    hosts: Collection[str]
    #: Allows everything; None: everybody who reaches the listener may do everything.
    token: Secret | None = None
    #: Allows reading only.
    read_token: Secret | None = None
    metrics_token: Secret | None = None

    def tokens(self) -> Mapping[Role, Secret]:
        """The token of each role that has one."""
        known: Mapping[Role, Secret | None] = {"full": self.token, "read": self.read_token}
        return {role: token for role, token in known.items() if token is not None}


class LoginNeeded(NotAuthorizedException):
    """No valid token: people get the login page, programs an error."""


def guard_of(options: AdminOptions, clock: Callable[[], float]) -> Any:
    """Refuse a foreign Host (DNS rebinding), pages of other sites, and requests beyond the client's role.

    ``clock`` is the wall clock, seconds since the epoch.
    """

    def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        path = connection.scope["path"]
        if path in PROBES:
            return
        _refuse_strangers(connection, options)
        if path == "/metrics":
            if options.metrics_token is not None and not _is_token(_bearer(connection), options.metrics_token):
                raise NotAuthorizedException("send the header Authorization: Bearer <GATEWAY_METRICS_TOKEN>")
        elif path not in _LOGIN:
            _refuse_by_role(connection, role_of(connection, options, clock()))

    return guard


def _refuse_strangers(connection: ASGIConnection[Any, Any, Any, Any], options: AdminOptions) -> None:
    host = connection.headers.get("host", "").lower()
    if _host_name(host) not in options.hosts:
        raise PermissionDeniedException(f"unknown Host {host[:100]}: add it to GATEWAY_ADMIN_HOSTS")
    origin = connection.headers.get("origin")
    if origin is not None and origin.lower().partition("://")[2] != host:
        raise PermissionDeniedException("pages of another origin are not allowed here")
    if connection.headers.get("sec-fetch-site") == "cross-site" and not _is_navigation(connection):
        raise PermissionDeniedException("pages of another site are not allowed here")


def _is_navigation(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Whether somebody follows a link; a foreign page cannot make a browser do anything else here."""
    return _method(connection) == "GET" and connection.headers.get("sec-fetch-mode") == "navigate"


def may_look(connection: ASGIConnection[Any, Any, Any, Any], options: AdminOptions, now: float) -> bool:
    """Whether the guard would allow reading; for answers given before or instead of the guard."""
    try:
        _refuse_strangers(connection, options)
    except PermissionDeniedException:
        return False
    return role_of(connection, options, now) is not None


def _refuse_by_role(connection: ASGIConnection[Any, Any, Any, Any], role: Role | None) -> None:
    if role is None:
        raise LoginNeeded("send the header Authorization: Bearer <token>")
    if role == "read" and _method(connection) not in _READING:
        raise PermissionDeniedException("GATEWAY_READ_TOKEN is read-only: use GATEWAY_ADMIN_TOKEN")


def _method(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    return str(connection.scope.get("method", ""))


def _host_name(host: str) -> str:
    """``[::1]:8081`` -> ``::1``; ``localhost:8081`` -> ``localhost``."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] or host


# --- roles ---


def role_of(connection: ASGIConnection[Any, Any, Any, Any], options: AdminOptions, now: float) -> Role | None:
    """The role of a request by its bearer token or cookie; None if it has none."""
    if options.token is None:
        return "full"
    if token := _bearer(connection):
        role = role_of_token(token, options)
        if role is None:
            _denied(connection, "a wrong token")
        return role
    session = connection.cookies.get(COOKIE)
    role = role_of_session(session, options, now) if session else None
    if session and role is None:
        _denied(connection, "an expired cookie, or one of another token")
    return role


def role_of_token(token: bytes, options: AdminOptions) -> Role | None:
    """The role of a token. It is compared with every known one, each time in constant time."""
    roles = [role for role, known in options.tokens().items() if _is_token(token, known)]
    return roles[0] if roles else None


def _is_token(token: bytes, known: Secret) -> bool:
    return hmac.compare_digest(token, known.reveal().encode())


def _bearer(connection: ASGIConnection[Any, Any, Any, Any]) -> bytes:
    kind, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.encode("latin-1", "replace") if kind.lower() == "bearer" else b""


def _denied(connection: ASGIConnection[Any, Any, Any, Any], reason: str) -> None:
    client = connection.client
    telemetry.log("admin.denied", client=client.host if client else "", path=connection.scope["path"], reason=reason)


# --- the console's session: nothing is stored, changing the token ends it ---


def session_of(role: Role, options: AdminOptions, now: float) -> str:
    """The value of a cookie that grants ``role`` for SESSION_S seconds."""
    expires = int(now + SESSION_S)
    return f"{role}.{expires}.{_signature(role, expires, options.tokens()[role])}"


def role_of_session(session: str, options: AdminOptions, now: float) -> Role | None:
    """The role of a cookie signed by this gateway and not expired, else None. Total."""
    written, _, rest = session.partition(".")
    expires, _, signature = rest.partition(".")
    for role, token in options.tokens().items():
        if role == written and expires.isascii() and expires.isdigit() and len(expires) < 16:
            is_ours = hmac.compare_digest(
                signature.encode("latin-1", "replace"), _signature(role, int(expires), token).encode()
            )
            return role if is_ours and now < int(expires) else None
    return None


def _signature(role: Role, expires: int, token: Secret) -> str:
    return hmac.new(token.reveal().encode(), f"gateway-console:{role}:{expires}".encode(), hashlib.sha256).hexdigest()


def logged_in(
    connection: ASGIConnection[Any, Any, Any, Any], token: str, to: str, options: AdminOptions, now: float
) -> Response[Any] | None:
    """The answer to a login: the cookie and a redirect to the page ``to``; None if the token is wrong."""
    role = role_of_token(token.strip().encode("utf-8", "replace"), options)
    if role is None:
        _denied(connection, "a login with a wrong token")
        return None
    return Redirect(local_page(to), status_code=303, cookies=[_cookie(session_of(role, options, now), SESSION_S)])


def logged_out() -> Response[Any]:
    """The answer that ends a session in its browser."""
    return Redirect("/login", status_code=303, cookies=[_cookie("", 0)])


def _cookie(value: str, max_age: int) -> Cookie:
    return Cookie(key=COOKIE, value=value, max_age=max_age, path="/", httponly=True, samesite="strict")


def login_page(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """The login page, which will return to the address requested."""
    path, query = connection.scope["path"], connection.scope.get("query_string", b"").decode("latin-1")
    asked = f"{path}?{query}" if query else path
    return f"/login?to={quote(asked, safe='/')}" if _method(connection) == "GET" and path != "/" else "/login"


def local_page(to: str) -> str:
    """``to`` if it is a path on this host, else the first page: it may come from anybody's link."""
    is_local = to.startswith("/") and not to.startswith("//") and "\\" not in to and to.isascii() and to.isprintable()
    return to if is_local else "/"
