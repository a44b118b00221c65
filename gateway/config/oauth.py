"""From ``auth: {oauth2: ...}`` to how a destination gets its access tokens."""

from dataclasses import replace
from typing import Final, cast
from urllib.parse import urlsplit

from gateway.config.schema.destinations import DestinationKeys
from gateway.config.schema.oauth import NEEDED, USUAL_REDIRECT, OAuthKeys, foreign
from gateway.config.schema.reading import Reading, Words
from gateway.config.text import hosts
from gateway.config.text.reader import Scalar
from gateway.oauth.settings import KEPT, Assertion, Grant, OAuth

SECRET_KEY: Final = "GATEWAY_SECRET_KEY"  # noqa: S105  the variable's name
#: Characters of the key that encrypts refresh tokens.
SHORTEST_KEY: Final = 32
HOW_TO_MAKE_ONE: Final = "openssl rand -hex 32"
#: Fields of a token request that are the gateway's own.
_OWN_FIELDS: Final = frozenset(
    {
        "grant_type",
        "client_id",
        "client_secret",
        "refresh_token",
        "assertion",
        "code",
        "scope",
        "code_verifier",
        "redirect_uri",
        "device_code",
    }
)


def settings(reading: Reading, name: str, keys: DestinationKeys) -> OAuth | None:
    """How a destination gets its access tokens; None if it wants none, or after a problem was reported."""
    if keys.auth is None or keys.auth.oauth2 is None or keys.is_inbox:
        return None
    return _Compiler(reading, name, keys, keys.auth.oauth2).settings()


class _Compiler:
    """Checks the keys of one destination against each other."""

    def __init__(self, reading: Reading, name: str, keys: DestinationKeys, written: OAuthKeys) -> None:
        self._reading = reading
        self._name = name
        self._destination = keys
        self._keys = written

    def settings(self) -> OAuth | None:
        keys = self._keys
        if keys.grant is None or not self._has_what_it_needs(keys.grant):
            return None
        self._check_parameters()
        grant = cast("Grant", keys.grant)
        account = self._service_account()
        token_url = self._url("token_url", keys.token_url) or account.get("token_uri", "")
        found = OAuth(
            grant=grant,
            token_url=token_url,
            client_id=_text(keys.client_id),
            client_secret=keys.client_secret.reveal() if keys.client_secret else "",
            client_auth="body" if keys.client_auth == "body" else "basic",
            scope=" ".join(each.text for each in keys.scope or ()),
            parameters=tuple((name, each.text) for name, each in keys.parameters.items()),
            refresh_token=keys.refresh_token.reveal() if keys.refresh_token else "",
            authorize_url=self._url("authorize_url", keys.authorize_url, is_secret=False),
            redirect_url=self._redirect_url() if grant == "authorization_code" else "",
            device_url=self._url("device_url", keys.device_url),
            secret_key=self._secret_key() if grant in KEPT else "",
        )
        return replace(found, assertion=self._assertion(found, account)) if grant == "jwt_bearer" else found

    def _has_what_it_needs(self, grant: str) -> bool:
        keys, before = self._keys, len(self._reading.report.problems)
        for name in keys.written:
            if name in foreign(grant):
                message = f'auth.oauth2 with grant: {grant} cannot have "{name}"'
                self._reading.error(keys.key_at(name), message, "remove it, or write another grant")
        missing = [name for name in NEEDED[grant] if name not in keys.written]
        if grant == "jwt_bearer" and "service_account" not in keys.written:
            missing = [name for name in ("key", "token_url") if name not in keys.written]
            missing += [] if {"issuer", "client_id"} & set(keys.written) else ["issuer"]
        elif grant == "jwt_bearer" and "key" in keys.written:
            message = "auth.oauth2 has both key and service_account, which has a key of its own"
            self._reading.error(keys.key_at("key"), message, "keep one of them")
        for name in missing:
            message = f'auth.oauth2 of destination "{self._name}" has no "{name}", which grant: {grant} needs'
            self._reading.error(keys.place, message, "add it")
        return len(self._reading.report.problems) == before

    def _check_parameters(self) -> None:
        for name in self._keys.parameters:
            if name.lower() in _OWN_FIELDS:
                hint = f"remove it{'; write scope: on auth.oauth2' if name.lower() == 'scope' else ''}"
                place = self._keys.name_at("parameters", name)
                self._reading.error(place, f'parameters: "{name}" is set by the gateway', hint)

    def _url(self, name: str, written: Words | None, *, is_secret: bool = True) -> str:
        """An address; what ``is_secret`` is sent there must not be readable on the way."""
        if written is None:
            return ""
        address = hosts.in_ascii(written.text)
        if written.is_stand_in:
            return f"https://{self._name}.example"
        if address.startswith("http+unix:"):
            self._reading.error(
                written.node, f"{name}: it must start with https:// or http://", "write https://host/path"
            )
        elif problem := hosts.url_problem(address):
            self._reading.error(written.node, f"{name}: {problem[0]}", problem[1])
        elif is_secret and address.startswith("http://") and not self._destination.insecure:
            host = urlsplit(address).hostname or ""
            if hosts.is_on_the_internet(host):
                message = (
                    f"{name}: http:// would show the client's secret and its tokens to anyone on the way to {host}"
                )
                self._reading.error(written.node, message, "write https://")
        return address

    def _redirect_url(self) -> str:
        written = self._keys.redirect_url
        if written is None or written.is_stand_in:
            return USUAL_REDIRECT
        self._url("redirect_url", written, is_secret=False)
        return written.text

    def _secret_key(self) -> str:
        """What encrypts the refresh token in the store; a variable like any other that the file needs."""
        place, reference = self._keys.place, f"${{{SECRET_KEY}}}"
        node = Scalar(place=place, text=reference, value=reference, content=place)
        found = self._reading.resolved(node, self._reading.references.resolve)
        if found is None or found.is_stand_in:
            return ""
        if len(found.text) < SHORTEST_KEY:
            message = (
                f"{SECRET_KEY}, which encrypts the login of this destination, has fewer than {SHORTEST_KEY} characters"
            )
            self._reading.error(place, message, f"make one: {HOW_TO_MAKE_ONE}")
        return found.text

    # assertions

    def _service_account(self) -> dict[str, str]:
        """The fields of a Google service account's key; none if there is none, or after a problem was reported."""
        written = self._keys.service_account
        if written is None or written.is_stand_in:
            return {}
        from gateway.oauth import assertions

        try:
            found = assertions.service_account(written.text)
            assertions.algorithm_of(found["private_key"])
        except assertions.KeyUnusable as error:
            hint = 'write "${file:google.json}", the file that Google\'s console makes for a key of the account'
            self._reading.error(written.node, f"service_account cannot be used: {error}", hint)
            return {}
        self._reading.secrets.add(found["private_key"])
        return found

    def _assertion(self, settings: OAuth, account: dict[str, str]) -> Assertion | None:
        keys = self._keys
        if keys.service_account is not None:
            return Assertion(
                key=account.get("private_key", ""),
                key_id=account.get("private_key_id", ""),
                issuer=account.get("client_email", ""),
                subject=_text(keys.subject),
                audience=_text(keys.audience) or settings.token_url,
                is_google=True,
            )
        if keys.signing_key is None:
            return None
        issuer = _text(keys.issuer) or settings.client_id
        found = Assertion(
            key=keys.signing_key.text,
            key_id=_text(keys.key_id),
            issuer=issuer,
            subject=_text(keys.subject) or issuer,
            audience=_text(keys.audience) or settings.token_url,
        )
        if keys.signing_key.is_stand_in:
            return found
        from gateway.oauth import assertions

        try:
            return replace(found, algorithm=assertions.algorithm_of(keys.signing_key.text))
        except assertions.KeyUnusable as error:
            hint = 'write "${file:crm.pem}", a file that begins with -----BEGIN PRIVATE KEY-----'
            self._reading.error(keys.signing_key.node, f"key cannot be used: {error}", hint)
            return None


def _text(written: Words | None) -> str:
    return written.text if written else ""
