"""How a destination gets its access tokens, as compiled from routes.yaml."""

import hashlib
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

Grant = Literal["client_credentials", "refresh_token", "jwt_bearer", "authorization_code", "device_code"]
#: Those that need a person once: ``gateway login``.
BY_A_PERSON: Final = frozenset({"authorization_code", "device_code"})
#: Those whose refresh token is kept in the store, because it may be another one after each use.
KEPT: Final = BY_A_PERSON | {"refresh_token"}
#: How long an attempt waits for a token, seconds.
WAIT_S: Final = 8.0
#: What a second request may take if the first, which was answered 401, has used up nearly all of the time, seconds.
LEAST_S: Final = 0.5
#: What a request may take besides its timeout, seconds: it can need two tokens, and then it is made twice.
TOKENS_S: Final = 2 * WAIT_S + LEAST_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """What a signed assertion says, and the key that signs it (RFC 7523)."""

    #: A private key, RSA or EC with P-256, as PEM.
    key: str = field(repr=False)
    algorithm: Literal["RS256", "ES256"] = "RS256"
    #: Empty: it names none.
    key_id: str = ""
    issuer: str
    #: On whose behalf; empty: on its own.
    subject: str = ""
    audience: str
    #: Whether the scope is a claim of the assertion alone, as Google reads it.
    is_google: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth:
    """One way to get access tokens. Destinations whose settings are equal share them."""

    grant: Grant
    token_url: str = field(repr=False)
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    #: How the client authenticates: in the header of its request, or in the body.
    client_auth: Literal["basic", "body"] = "basic"
    scope: str = ""
    #: More fields of each token request.
    parameters: tuple[tuple[str, str], ...] = ()
    #: The first refresh token; empty: somebody logs in.
    refresh_token: str = field(default="", repr=False)
    assertion: Assertion | None = None
    #: Where a person logs in, and where the browser is sent from there.
    authorize_url: str = ""
    redirect_url: str = ""
    #: Where a code for a person is asked for.
    device_url: str = ""
    #: What encrypts refresh tokens in the store.
    secret_key: str = field(default="", repr=False)

    @property
    def is_kept(self) -> bool:
        """Whether its refresh token is kept in the store."""
        return self.grant in KEPT

    @property
    def is_by_a_person(self) -> bool:
        """Whether a person logs in."""
        return self.grant in BY_A_PERSON

    @property
    def host(self) -> str:
        """What people may see of the token endpoint."""
        return urlsplit(self.token_url).hostname or ""

    def remedy(self, name: str) -> str:
        """What a person does about the login of the destination ``name`` once it can no longer be used."""
        if self.is_by_a_person:
            return f"run `gateway login {name}`"
        if self.grant == "refresh_token":
            return "put a new refresh_token into auth.oauth2, then resume it"
        return "correct the key, the issuer or the subject of auth.oauth2, or this machine's clock, then resume it"

    @property
    def login_id(self) -> str:
        """Names its login in the store. Another client, scope or first refresh token is another login."""
        said = (self.grant, self.token_url, self.client_id, self.scope, self.parameters, self.refresh_token)
        return f"oauth2-{hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:24]}"
