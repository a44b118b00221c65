"""The keys of ``auth``: how a destination is logged in to."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from gateway.config.schema import values
from gateway.config.schema.instead import ANY
from gateway.config.schema.keys import Section, key, nested
from gateway.config.schema.oauth import OAuthKeys
from gateway.config.schema.reading import Shape, Words
from gateway.config.schema.remedies import Instead, Remedy
from gateway.config.text.reader import Map, Pair, Scalar
from gateway.model import Secret


def _named(pair: Pair, _around: Map) -> Instead | None:
    """``header: {X-Api-Key: ...}``, the header itself as the key; None for what no header is called."""
    is_header = "-" in pair.key.text or pair.key.text[:1].isupper()
    return Instead(f'write name: {pair.key.text}, value: "${{API_KEY}}"', ("name", "value")) if is_header else None


#: ``user:${PASSWORD}``.
_LOGIN: Final = re.compile(r"(?P<user>[^:\s{}\"$]+|\$\{[A-Za-z_]\w*\}):(?P<password>\$\{[A-Za-z_]\w*\})")
_REFERENCE: Final = re.compile(r"\$\{[^}\"]*\}")


@dataclass(frozen=True, kw_only=True)
class BasicKeys(Section):
    noun = "auth.basic"
    instead_of_text = 'basic: {user: ..., password: "${PASSWORD}"}'

    @classmethod
    def meant_by(cls, text: str) -> str:
        """A login in one text, in its parts."""
        found = _LOGIN.fullmatch(text)
        if found is None:
            return cls.instead_of_text
        user = f'"{found["user"]}"' if "$" in found["user"] else found["user"]
        return f'basic: {{user: {user}, password: "{found["password"]}"}}'

    foreign: ClassVar[Mapping[str, Remedy]] = {
        **dict.fromkeys(("username", "login", "name"), "user"),
        **dict.fromkeys(("pass", "passwd", "token", "secret"), "password"),
    }
    user: Words | None = key(values.login, "the user name: crm-user", required=True)
    password: Secret | None = key(values.secret, 'the password: "${PASSWORD}"', required=True)


@dataclass(frozen=True, kw_only=True)
class HeaderKeys(Section):
    noun = "auth.header"
    instead_of_text = 'header: {name: x-api-key, value: "${API_KEY}"}'
    foreign: ClassVar[Mapping[str, Remedy]] = {
        **dict.fromkeys(("header", "key"), "name"),
        **dict.fromkeys(("token", "secret"), "value"),
        ANY: _named,
    }
    name: Words | None = key(values.words, "the header's name: x-api-key", required=True)
    value: Secret | None = key(values.secret, 'the header\'s value: "${API_KEY}"', required=True)


@dataclass(frozen=True, kw_only=True)
class AwsKeys(Section):
    noun = "auth.aws"
    service: Words | None = key(
        values.words, "the service as its endpoint is called: execute-api, sqs, s3", required=True
    )
    region: Words | None = key(values.words, "its region: eu-central-1", required=True)
    access_key_id: Secret | None = key(values.secret, 'the id of an access key: "${AWS_ACCESS_KEY_ID}"', required=True)
    secret_access_key: Secret | None = key(values.secret, 'its secret: "${AWS_SECRET_ACCESS_KEY}"', required=True)
    session_token: Secret | None = key(values.secret, 'the token of a temporary key: "${AWS_SESSION_TOKEN}"')


_TOKENS: Final = ("token", "access_token", "bearer_token", "value", "credentials")
_API_KEYS: Final = ("key", "api_key", "apikey", "api-key")
_USERS: Final = ("user", "username", "login")
_PASSWORDS: Final = ("password", "pass", "passwd")


def _way(pair: Pair, around: Map) -> Instead:
    """``type: bearer, token: ...``: all of its keys as one way."""
    written = {each.key.text: each.value.text for each in around.pairs if isinstance(each.value, Scalar)}
    kind = (written.get("type") or written.get("scheme") or written.get("method") or pair.key.text).lower()
    if "header" in written and kind in (*_TOKENS, *_API_KEYS):
        kind = "header"
    covered = frozenset({"type", "scheme", "method", *_TOKENS, *_API_KEYS, *_USERS, *_PASSWORDS} & written.keys())

    def reference(names: Sequence[str], usual: str) -> str:
        text = next((written[name] for name in names if name in written), "")
        return f'"{text if _REFERENCE.fullmatch(text) else usual}"'

    if kind == "basic" or kind in (*_USERS, *_PASSWORDS) or not covered.isdisjoint((*_USERS, *_PASSWORDS)):
        user = next((written[name] for name in _USERS if name in written), "")
        shown = user if _USER.fullmatch(user) else f'"{user}"' if _REFERENCE.fullmatch(user) else "..."
        password = reference((*_PASSWORDS, "token", "secret"), "${PASSWORD}")
        return Instead(f"write basic: {{user: {shown}, password: {password}}}", ("basic",), covered=covered)
    if kind in ("header", "api_key", "apikey", "api-key", "key"):
        value = reference((*_API_KEYS, *_TOKENS), "${API_KEY}")
        name = next(
            (written[each] for each in ("header", "name", "in") if _HEADER.fullmatch(written.get(each, ""))), ""
        )
        hint = f"write header: {{name: {name or 'x-api-key'}, value: {value}}}"
        return Instead(hint, ("header",), covered=covered | ({"name", "header", "in"} & written.keys()))
    if kind in ("bearer", "token", "jwt", *_TOKENS):
        return Instead(f"write bearer: {reference((*_TOKENS, *_API_KEYS), '${TOKEN}')}", ("bearer",), covered=covered)
    return Instead("write the way itself as the key: bearer, basic, header, oauth2 or aws", covered=covered)


_USER: Final = re.compile(r"[A-Za-z0-9][\w.@+-]{0,60}")
_HEADER: Final = re.compile(r"[A-Za-z]+(?:-[A-Za-z0-9]+)+|Authorization")


@dataclass(frozen=True, kw_only=True)
class AuthKeys(Section):
    noun = "auth"
    instead_of_text = 'auth: {bearer: "${TOKEN}"}'
    foreign: ClassVar[Mapping[str, Remedy]] = {
        "digest": Instead("write bearer, basic, header, oauth2 or aws: digest authentication is not supported"),
        **dict.fromkeys(("type", "scheme", "method", *_TOKENS, *_API_KEYS, *_USERS, *_PASSWORDS), _way),
    }
    together: ClassVar[Shape] = {"minProperties": 1, "maxProperties": 1}
    bearer: Secret | None = key(values.bearer, 'a token: auth: {bearer: "${CRM_TOKEN}"}')
    basic: BasicKeys | None = key(nested(BasicKeys), 'a login: auth: {basic: {user: me, password: "${PASSWORD}"}}')
    header: HeaderKeys | None = key(
        nested(HeaderKeys), 'any other header: auth: {header: {name: x-api-key, value: "${KEY}"}}'
    )
    aws: AwsKeys | None = key(
        nested(AwsKeys),
        "AWS Signature Version 4, made for each attempt: "
        'auth: {aws: {service: execute-api, region: eu-central-1, access_key_id: "${ID}", secret_access_key: "${KEY}"}}',
    )
    oauth2: OAuthKeys | None = key(
        nested(OAuthKeys),
        "access tokens that renew themselves: auth: {oauth2: {grant: client_credentials, token_url: ..., client_id: gateway, "
        'client_secret: "${CRM_SECRET}"}}',
    )
