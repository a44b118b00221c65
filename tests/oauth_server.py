"""An authorization server on a real socket, made with authlib: every grant that destinations can use.

::

    with AuthorizationServer() as server:
        settings = {"token_url": server.token_url, "client_id": "gateway", "client_secret": "hush"}
        ...
        server.revoke_all()               # each refresh token is refused from now on
        server.behave(html)               # the next token requests are answered by a function instead

It runs in threads of its own. A token is valid while it is in ``server.access``.
"""

import json
import secrets
import threading
import time
from collections import defaultdict
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, parse_qsl, urlsplit

from authlib.oauth2.rfc6749 import AuthorizationServer as Server
from authlib.oauth2.rfc6749 import ClientMixin, OAuth2Request, TokenMixin, grants
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7523 import JWTBearerGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint, DeviceCodeGrant
from joserfc.jwk import import_key

USER = "ann"
SCOPE = "contacts"


class Client(ClientMixin):
    """The one client that the server knows."""

    client_id = "gateway"
    secret = "hush: a+b"
    redirect_uri = ""

    def get_client_id(self):
        return self.client_id

    def get_default_redirect_uri(self):
        return self.redirect_uri

    def get_allowed_scope(self, scope):
        return scope if scope == SCOPE else ""

    def check_redirect_uri(self, redirect_uri):
        return redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret):
        return client_secret == self.secret

    def check_endpoint_auth_method(self, method, endpoint):
        return True

    def check_response_type(self, response_type):
        return response_type == "code"

    def check_grant_type(self, grant_type):
        return True


class Token(TokenMixin):
    """A refresh token; those that came of one login are one family."""

    def __init__(self, family, scope):
        self.family, self.scope, self.is_used = family, scope, False

    def check_client(self, client):
        return True

    def get_scope(self):
        return self.scope


class Code(dict):
    """An authorization code, or a device code, with what it was asked for."""

    def __getattr__(self, name):
        return self[name]

    def get_redirect_uri(self):
        return self["redirect_uri"]

    def get_scope(self):
        return self["scope"]

    def is_expired(self):
        return False

    def get_client_id(self):
        return Client.client_id

    def get_user_code(self):
        return self["user_code"]


class AuthorizationServer(Server):
    """Answers at /token, /authorize, /device; what a destination is sent with can be checked by ``is_valid``."""

    def __init__(self, *, lasts_s=3600, rotates=True, forgives_reuse=False, keys=None, ahead_s=0.0):
        super().__init__(scopes_supported=[SCOPE])
        self.rotates, self.forgives_reuse, self.ahead_s, self.lasts_s = rotates, forgives_reuse, ahead_s, lasts_s
        #: Public keys as PEM by issuer, and whom assertions are for besides.
        self.keys, self.audiences = keys or {}, []
        self.client = Client()
        self.lock = threading.RLock()
        self.access, self.refresh, self.codes, self.devices = set(), {}, {}, {}
        #: The form of each token request, and whether its client came in the header.
        self.asked, self.in_header = [], []
        self._behaviours, self._is_cut = [], False
        self.register_token_generator(
            "default",
            BearerTokenGenerator(
                lambda **_: secrets.token_urlsafe(24), lambda **_: secrets.token_urlsafe(24), lambda *_: self.lasts_s
            ),
        )
        self.register_grant(_ClientCredentials)
        self.register_grant(_RefreshToken)
        self.register_grant(_Assertion)
        self.register_grant(_AuthorizationCode, [CodeChallenge(required=True)])
        self.register_grant(_DeviceCode)
        self.register_endpoint(_DeviceEndpoint)

    # for tests

    @property
    def token_url(self):
        return f"{self.url}/token"

    def first_refresh_token(self):
        """The refresh token of a new login."""
        token = secrets.token_urlsafe(24)
        self.refresh[token] = Token(object(), SCOPE)
        return token

    def is_valid(self, header):
        """Whether a request with this Authorization header is allowed."""
        return header.removeprefix("Bearer ") in self.access

    def revoke_all(self):
        with self.lock:
            self.refresh.clear()
            self.access.clear()

    def behave(self, *behaviours):
        """Have the next token requests answered otherwise: each behaviour gets the handler. ``None``: as usual."""
        self._behaviours += behaviours

    def count(self, grant):
        return sum(form.get("grant_type") == grant for form in self.asked)

    # what authlib asks of a server

    def query_client(self, client_id):
        return self.client if client_id == self.client.client_id else None

    def save_token(self, token, request):
        with self.lock:
            self.access.add(token["access_token"])
            if refresh := token.get("refresh_token"):
                family = request.refresh_token.family if request.refresh_token else object()
                self.refresh[refresh] = Token(family, token.get("scope", ""))

    def create_oauth2_request(self, request):
        return request

    def create_json_request(self, request):
        raise NotImplementedError

    def send_signal(self, name, *args, **kwargs):
        pass

    def handle_response(self, status, body, headers):
        return status, body, headers

    # the socket

    def __enter__(self):
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def date_time_string(self, timestamp=None):
                return super().date_time_string((timestamp or time.time()) + server.ahead_s)

            def do_POST(self):
                server.serve(self)

            do_GET = do_POST  # noqa: N815

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def serve(self, handler):
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0)).decode()
        path = urlsplit(handler.path).path
        request = _Request(
            handler.command,
            f"https://auth.example{handler.path}",
            body,
            {name.title(): value for name, value in handler.headers.items()},
        )
        if path == "/token":
            with self.lock:
                self.asked.append(dict(parse_qsl(body)))
                self.in_header.append("authorization" in handler.headers)
                behaviour = self._behaviours.pop(0) if self._behaviours else None
            if behaviour is not None and (behaviour(handler) is not GO_ON):
                return
        with self.lock:
            if path == "/token":
                answer = self.create_token_response(request)
            elif path == "/device":
                answer = self.create_endpoint_response(_DeviceEndpoint.ENDPOINT_NAME, request)
            elif path == "/authorize":
                answer = self.create_authorization_response(request, USER, self.get_consent_grant(request, USER))
            else:
                answer = self.confirmed(request)
        if behaviour_after := getattr(handler, "after", None):
            behaviour_after()
        with suppress(BrokenPipeError, ConnectionResetError):
            write(handler, *answer)

    def confirmed(self, request):
        """The page where a person confirms a device's code."""
        for device in self.devices.values():
            if device["user_code"] == request.args.get("user_code"):
                device["is_confirmed"] = True
                return 200, {"confirmed": True}, []
        return 404, {"confirmed": False}, []


class _Request(OAuth2Request):
    def __init__(self, method, uri, body, headers):
        super().__init__(method, uri, headers=headers)
        self._args = dict(parse_qsl(urlsplit(uri).query))
        self._form = dict(parse_qsl(body))
        self.payload = _Payload({**self._args, **self._form}, parse_qs(f"{urlsplit(uri).query}&{body}"))

    @property
    def args(self):
        return self._args

    @property
    def form(self):
        return self._form


class _Payload(BasicOAuth2Payload):
    def __init__(self, values, lists):
        super().__init__(values)
        self._datalist = defaultdict(list, lists)


_WAYS = ["client_secret_basic", "client_secret_post", "none"]


class _ClientCredentials(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = _WAYS[:2]


class _RefreshToken(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = _WAYS

    @property
    def INCLUDE_NEW_REFRESH_TOKEN(self):  # noqa: N802
        return self.server.rotates

    def authenticate_refresh_token(self, refresh_token):
        token = self.server.refresh.get(refresh_token)
        if token is not None and token.is_used and not self.server.forgives_reuse:
            # Stolen, it seems: nobody has this login any more (RFC 9700, 4.14.2).
            family = token.family
            self.server.refresh = {
                name: each for name, each in self.server.refresh.items() if each.family is not family
            }
            return None
        return token

    def authenticate_user(self, refresh_token):
        return USER

    def revoke_old_credential(self, refresh_token):
        refresh_token.is_used = self.server.rotates


class _Assertion(JWTBearerGrant):
    LEEWAY = 30

    def verify_claims(self, claims):
        skewed = {
            name: value - self.server.ahead_s if name in ("exp", "iat", "nbf") else value
            for name, value in claims.items()
        }
        super().verify_claims(skewed)

    def get_audiences(self):
        return [self.server.token_url, *self.server.audiences]

    def resolve_issuer_client(self, issuer):
        return self.server.client if issuer in self.server.keys else None

    def resolve_client_public_key(self, client):
        [pem] = self.server.keys.values()
        return import_key(pem, "EC" if len(pem) < 300 else "RSA")

    def authenticate_user(self, subject):
        return subject

    def has_granted_permission(self, client, user):
        return user != "stranger"


class _AuthorizationCode(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = _WAYS

    def save_authorization_code(self, code, request):
        asked = request.payload.data
        self.server.codes[code] = Code(
            scope=request.payload.scope, redirect_uri=request.payload.redirect_uri, user=request.user,
            code_challenge=asked.get("code_challenge"), code_challenge_method=asked.get("code_challenge_method"),
        )  # fmt: skip

    def query_authorization_code(self, code, client):
        return self.server.codes.get(code)

    def delete_authorization_code(self, authorization_code):
        self.server.codes = {name: each for name, each in self.server.codes.items() if each is not authorization_code}

    def authenticate_user(self, authorization_code):
        return authorization_code["user"]


class _DeviceEndpoint(DeviceAuthorizationEndpoint):
    CLIENT_AUTH_METHODS = _WAYS
    INTERVAL = 1

    def get_verification_uri(self):
        return f"{self.server.url}/confirm"

    def save_device_credential(self, client_id, scope, data):
        self.server.devices[data["device_code"]] = Code(scope=scope, user_code=data["user_code"], is_confirmed=False)


class _DeviceCode(DeviceCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = _WAYS

    def query_device_credential(self, device_code):
        return self.server.devices.get(device_code)

    def query_user_grant(self, user_code):
        [device] = [each for each in self.server.devices.values() if each["user_code"] == user_code]
        return (USER, True) if device["is_confirmed"] else None

    def should_slow_down(self, credential):
        return False


# --- behaviours ---

#: What a behaviour returns after which the request is answered as usual.
GO_ON = object()


def write(handler, status, body, headers=()):
    payload = json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
    handler.send_response(status)
    headers = dict(headers)
    headers.setdefault("Content-Type", "application/json")
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(payload or b"")))
    handler.end_headers()
    handler.wfile.write(payload or b"")


def answers(status, body, **headers):
    """An answer of one's own."""
    return lambda handler: write(
        handler, status, body, {name.replace("_", "-"): value for name, value in headers.items()}
    )


def hangs(seconds):
    """No answer, and after a while the end of the connection."""

    def wait(handler):
        time.sleep(seconds)
        handler.close_connection = True

    return wait


def slowly(seconds):
    """The usual answer, after a while."""

    def wait(_):
        time.sleep(seconds)
        return GO_ON

    return wait


def loses_its_answer(handler):
    """The tokens are issued, and the connection breaks before anybody knows them."""

    def cut():
        raise ConnectionAbortedError

    handler.after = cut
    handler.close_connection = True
    return GO_ON
