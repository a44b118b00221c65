"""The keys of ``auth``: how a destination is logged in to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from gateway.config.schema import values
from gateway.config.schema.instead import ANY
from gateway.config.schema.keys import Section, key, nested
from gateway.config.schema.oauth import OAuthKeys
from gateway.config.schema.reading import Shape, Words
from gateway.config.schema.remedies import Instead, Remedy, write
from gateway.config.text.reader import Map, Pair
from gateway.model import Secret


def _named(pair: Pair, _around: Map) -> Instead | None:
    """``header: {X-Api-Key: ...}``, the header itself as the key; None for what no header is called."""
    is_header = "-" in pair.key.text or pair.key.text[:1].isupper()
    return Instead(f'write name: {pair.key.text}, value: "${{API_KEY}}"', ("name", "value")) if is_header else None


@dataclass(frozen=True, kw_only=True)
class BasicKeys(Section):
    noun = "auth.basic"
    instead_of_text = 'basic: {user: ..., password: "${PASSWORD}"}'
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


@dataclass(frozen=True, kw_only=True)
class AuthKeys(Section):
    noun = "auth"
    instead_of_text = 'auth: {bearer: "${TOKEN}"}'
    foreign: ClassVar[Mapping[str, Remedy]] = {
        "digest": Instead("write bearer, basic, header, oauth2 or aws: digest authentication is not supported"),
        **dict.fromkeys(
            ("type", "scheme"), Instead("write the way itself as the key: bearer, basic, header, oauth2 or aws")
        ),
        **dict.fromkeys(("token", "access_token"), write("bearer", '"${TOKEN}"')),
        **dict.fromkeys(
            ("key", "api_key", "apikey", "api-key"), write("header", '{name: x-api-key, value: "${API_KEY}"}')
        ),
        **dict.fromkeys(("user", "username", "password"), write("basic", '{user: ..., password: "${PASSWORD}"}')),
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
