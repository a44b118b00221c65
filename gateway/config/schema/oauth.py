"""The keys of ``auth: {oauth2: ...}``: where a destination's access tokens come from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, get_args

from gateway.config.schema import values
from gateway.config.schema.keys import Section, key
from gateway.config.schema.reading import Reading, Shape, Words, shaped
from gateway.config.text.reader import Node
from gateway.model import Secret
from gateway.oauth.settings import Grant

USUAL_REDIRECT: Final = "http://127.0.0.1:8976/callback"
GRANTS: Final[tuple[str, ...]] = get_args(Grant)
#: The keys that some grants have and others do not.
OF_GRANT: Final[Mapping[str, tuple[str, ...]]] = {
    "client_credentials": (),
    "refresh_token": ("refresh_token",),
    "jwt_bearer": ("key", "key_id", "issuer", "subject", "audience", "service_account"),
    "authorization_code": ("authorize_url", "redirect_url"),
    "device_code": ("device_url",),
}
#: The keys that a grant needs.
NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "client_credentials": ("token_url", "client_id", "client_secret"),
    "refresh_token": ("token_url", "client_id", "refresh_token"),
    "jwt_bearer": (),
    "authorization_code": ("authorize_url", "token_url", "client_id"),
    "device_code": ("device_url", "token_url", "client_id"),
}


def foreign(grant: str) -> frozenset[str]:
    """The keys that a grant cannot have."""
    return frozenset(name for names in OF_GRANT.values() for name in names) - frozenset(OF_GRANT[grant])


@shaped({**values.TEXT, "title": "secret"})
def _secret_words(reading: Reading, node: Node, label: str) -> Words | None:
    """A secret of which it matters whether it was made up because a variable is not set."""
    return None if values.secret(reading, node, label) is None else values.words(reading, node, label)


def _of(grant: str) -> Shape:
    then: dict[str, object] = {"properties": dict.fromkeys(sorted(foreign(grant)), False)}
    if grant == "jwt_bearer":
        of_key = {"required": ["key", "token_url"], "anyOf": [{"required": ["issuer"]}, {"required": ["client_id"]}]}
        then["oneOf"] = [
            {"required": ["service_account"], "not": {"required": ["key"]}},
            {"not": {"required": ["service_account"]}, **of_key},
        ]
    if NEEDED[grant]:
        then["required"] = list(NEEDED[grant])
    return {"if": {"properties": {"grant": {"const": grant}}, "required": ["grant"]}, "then": then}


@dataclass(frozen=True, kw_only=True)
class OAuthKeys(Section):
    noun = "auth.oauth2"
    together: ClassVar[Shape] = {"allOf": [_of(grant) for grant in GRANTS]}
    grant: str | None = key(
        values.choice(GRANTS, "grant", values.named),
        "how a token is obtained: client_credentials, refresh_token, jwt_bearer (a signed assertion), or authorization_code or "
        "device_code, for which a person runs gateway login NAME once",
        required=True,
    )
    token_url: Words | None = key(
        values.words, "where tokens are issued, reached as the destination is: https://crm.example.com/oauth/token"
    )
    client_id: Words | None = key(values.login, "the id of the client, as the vendor shows it: gateway")
    client_secret: Secret | None = key(values.secret, 'its secret: "${CRM_CLIENT_SECRET}"')
    client_auth: str | None = key(
        values.choice(("basic", "body")),
        "where the client's id and secret are sent: basic, a header (the default), or body",
        usual="basic",
    )
    scope: tuple[Words, ...] | None = key(values.some_words, "what the token is for, a text or a list: contacts.write")
    parameters: Mapping[str, Words] = key(
        values.map_of(values.words), "more fields of the token request: {audience: crm}", factory=dict
    )
    refresh_token: Secret | None = key(
        values.secret, 'the first refresh token; its successors are kept in the store: "${CRM_REFRESH_TOKEN}"'
    )
    signing_key: Words | None = key(
        _secret_words,
        'the private key that signs assertions (PEM), RSA or EC with P-256: "${file:crm.pem}"',
        name="key",
    )
    key_id: Words | None = key(values.words, "the id under which the vendor knows that key: 2026-11")
    issuer: Words | None = key(values.words, "who signs an assertion; client_id if left out")
    subject: Words | None = key(values.words, "the user on whose behalf requests are made: gateway@example.com")
    audience: Words | None = key(
        values.words, "whom an assertion is for; token_url if left out: https://login.salesforce.com"
    )
    service_account: Words | None = key(
        _secret_words, 'the JSON of a Google service account\'s key, instead of key: "${file:google.json}"'
    )
    authorize_url: Words | None = key(
        values.words,
        "the page where a person logs in, with its fixed query: https://crm.example.com/oauth/authorize?access_type=offline",
    )
    redirect_url: Words | None = key(
        values.words,
        "where that page sends the browser, as registered with the vendor; gateway login listens there if it is this machine",
        usual=USUAL_REDIRECT,
    )
    device_url: Words | None = key(
        values.words, "where a code for a person is requested: https://crm.example.com/oauth/device/code"
    )
