"""How a destination is reached: its url, and the door that its requests go through."""

import re
import ssl
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Final, Literal
from urllib.parse import urlsplit

from gateway.config.schema.destinations import DefaultsKeys, DestinationKeys
from gateway.config.schema.reading import NOT_A_VARIABLE, TEST_TEXT, Reading, Words
from gateway.config.schema.ways import NO_PROXY
from gateway.config.text import hosts, variables
from gateway.destinations import KINDS, Kind
from gateway.egress import Door, unix
from gateway.egress.door import certificates
from gateway.egress.files import path_in

#: The largest file of certificates, bytes; a system's whole trust store is a quarter of it.
_MOST_CERTIFICATES: Final = 1024 * 1024
_NO_TLS: Final = "a url that does not start with https:// does not use TLS"


def made_up_url(destination: str, written: Words, *, is_mail: bool = False) -> Words:
    """The url with an ASCII host; a made-up address if a variable in it is not set, whose scheme, host and port can be read."""
    if not written.is_stand_in:
        return replace(written, text=hosts.in_ascii(written.text))
    scheme = "smtps" if is_mail else "https"
    text = re.sub(rf"^[^:/?#]*{TEST_TEXT}[^:/?#]*://", f"{scheme}://", written.text)
    text = re.sub(rf"^{TEST_TEXT}", f"{scheme}://{destination}.example", text)
    text = re.sub(rf"^((?:https?|smtps?)://[^/?#@]*):[0-9]*(?:{TEST_TEXT})+[0-9]*(?=[/?#]|$)", r"\1:443", text)
    return replace(written, text=hosts.in_ascii(text))


#: Slack's tokens: of bots, users, apps and the like.
_SLACK_TOKEN: Final = re.compile(r"xox[a-z]-|xapp-|xoxe\.")
_POST_MESSAGE: Final = "https://slack.com/api/chat.postMessage"
#: The name of a variable, without the signs of one.
_CAPITALS: Final = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
#: This machine or a number, with a port.
_NEAR: Final = re.compile(r"(?:localhost|\d+\.\d+\.\d+\.\d+)(?::\d+)?(?:/[^\s]*)?")
#: A name with a dot, and what follows it.
_BARE: Final = re.compile(r"(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}(?::\d+)?(?:/[^\s]*)?")


class Ways:
    """Checks how the destinations of one file are reached, and makes their doors."""

    def __init__(self, reading: Reading, defaults: DefaultsKeys | None) -> None:
        self._reading = reading
        self._folder = reading.disk.folder
        self._defaults = defaults
        #: Trusted certificates (PEM) by path, as written in the file.
        self.certificates: dict[str, str] = {}

    def check(self, keys: DestinationKeys, url: Words) -> None:
        """Check a url, and the keys that must agree with it."""
        problem = hosts.url_problem(url.text, is_mail=KINDS[keys.type].is_mail)
        if "@" in url.node.text:
            # A login in a url is a secret, wherever the url is shown.
            self._reading.report.hide(url.node.content, url.node.text)
        name = variables.in_url(url.node.text)
        if problem is not None:
            written = (
                f'write "${{{name}}}"' if variables.named_unrendered(url.node.text) else f"write ${{{name}}} in it"
            )
            hint = written if name else self._address_meant(keys, url) or problem[1]
            self._reading.error(url.node, f"url: {problem[0]}", hint)
            return
        if name:
            self._reading.warning(url.node, f"url: {NOT_A_VARIABLE}", f"write ${{{name}}}")
        self._check_public(keys, url)
        if url.is_stand_in:
            return
        self._check_vendor(keys, url)
        self._check_tls(keys, url)
        self._check_proxy(keys, url)
        self._check_secrecy(keys, url)

    def _address_meant(self, keys: DestinationKeys, url: Words) -> str:
        """What to write for a token, or for an address without its scheme; empty for anything else."""
        if keys.type == "slack" and _SLACK_TOKEN.match(url.text):
            reference = url.shown
            if url.shown == url.text:
                reference = "${SLACK_BOT_TOKEN}"
                self._reading.report.hide(url.node.content, url.node.text)
            beside = "" if "channel" in keys.written else ' and channel: "#leads"'
            return f'this is a token: write url: {_POST_MESSAGE}, auth: {{bearer: "{reference}"}}{beside}'
        if url.shown != url.text or KINDS[keys.type].is_mail:
            return ""
        if keys.type == "http" and (path := path_in(url.text)):
            return f"write type: file and path: {path}"
        if _CAPITALS.fullmatch(url.text):
            return f'write "${{{url.text}}}"'
        if _NEAR.fullmatch(url.text):
            return f"write http://{url.text}"
        return f"write https://{url.text}" if _BARE.fullmatch(url.text) else ""

    def _check_public(self, keys: DestinationKeys, url: Words) -> None:
        if not keys.public:
            return
        if private := hosts.private(url.text):
            hint = "remove public, or write a public name in the url"
            self._reading.error(keys.at("public"), f"public: {private}", hint)
        elif self._proxy(keys):
            message = "public: true checks nothing here: the proxy looks the name up"
            self._reading.warning(keys.at("public"), message, "remove public, or write proxy: none")

    def _check_vendor(self, keys: DestinationKeys, url: Words) -> None:
        """Warn of an address of one chat in a destination of another."""
        own, address = KINDS[keys.type], urlsplit(url.text)
        if not own.needs_text or own.is_mail or _is_below(address.hostname, own.hosts):
            return
        for other in KINDS.values():
            host = next((each for each in other.hosts if _is_below(address.hostname, [each])), "")
            # Discord reads Slack's messages there.
            if host and not (own.name == "slack" and other.name == "discord" and address.path.endswith("/slack")):
                message = f"url: {host} belongs to {other.title}, but this destination is of type {own.name}"
                hint = f"write type: {other.name}, or an address of {own.title}"
                self._reading.warning(url.node, message, hint)

    def _check_tls(self, keys: DestinationKeys, url: Words) -> None:
        if KINDS[keys.type].is_mail and not (_scheme(url) == "smtps" and keys.insecure):
            if keys.tls is not None and keys.insecure:
                hint = "remove tls, or insecure"
                self._reading.error(keys.key_at("tls"), "tls: insecure: true sends the e-mail without TLS", hint)
            return
        if (scheme := _scheme(url)) in ("https", "smtps"):
            if keys.insecure:
                message = f"insecure: true changes nothing about {scheme}://, whose certificates are always verified"
                hint = "remove it; to trust a certificate of your own, write tls: {ca: its-ca.pem}"
                self._reading.warning(keys.key_at("insecure"), message, hint)
            return
        if keys.tls is not None:
            self._reading.error(keys.key_at("tls"), f"tls: {_NO_TLS}", "write https://, or remove tls")
        if keys.http2:
            hint = "write https://, or remove http2"
            self._reading.error(keys.key_at("http2"), f"http2: {_NO_TLS}, and HTTP/2 needs it", hint)

    def _check_proxy(self, keys: DestinationKeys, url: Words) -> None:
        if keys.proxy and keys.proxy != NO_PROXY and url.text.startswith(unix.SCHEME):
            self._reading.error(keys.key_at("proxy"), "proxy: no proxy leads to a Unix socket", "remove proxy")

    def _check_secrecy(self, keys: DestinationKeys, url: Words) -> None:
        """Refuse to send a secret over the internet where anyone on the way can read it."""
        if KINDS[keys.type].is_mail:
            self._check_mail(keys, url)
            return
        if keys.insecure or _scheme(url) != "http":
            return
        host = urlsplit(url.text).hostname or ""
        secret = _secret_sent(keys)
        if secret and hosts.is_on_the_internet(host):
            message = f"url: http:// would show {secret} to anyone on the way to {host}"
            self._reading.error(url.node, message, "write https://, or insecure: true to allow it on this destination")

    def _check_mail(self, keys: DestinationKeys, url: Words) -> None:
        """Refuse to log in where anyone on the way can read it: smtp:// fails without STARTTLS, unless it is insecure."""
        host = urlsplit(url.text).hostname or ""
        if keys.insecure and keys.auth is not None and _scheme(url) == "smtp" and hosts.is_on_the_internet(host):
            message = f"insecure: true would show {_secret_sent(keys)} to anyone on the way to {host}"
            self._reading.error(keys.key_at("insecure"), message, "remove insecure: it then requires STARTTLS")

    def door(self, keys: DestinationKeys, kind: Kind) -> Door:
        """The door of a destination, with every problem of its files reported."""
        if keys.is_inbox or not kind.has_url:
            return Door()
        tls = keys.tls
        if tls and not tls.written:
            self._reading.error(tls.place, "tls is empty", "write ca, cert or min, or remove tls")
        ca = tls.ca if tls else None
        if ca is not None:
            self.certificates[ca.text] = self._trusted(ca)
        cert, key = self._pair(tls.cert, tls.cert_key) if tls and tls.cert else ("", "")
        if tls and tls.cert_key and not tls.cert and "cert" not in tls.written:
            self._reading.error(
                tls.key_at("key"), "tls: key without a certificate", "add cert: the file of its certificate"
            )
        least: Literal["1.2", "1.3"] = "1.3" if tls and tls.min == "1.3" else "1.2"
        is_socket = keys.url is not None and keys.url.text.startswith(unix.SCHEME)
        return Door(
            public=kind.is_hosted if keys.public is None else keys.public,
            ca="" if ca is None else self.certificates[ca.text],
            cert=cert,
            key=key,
            least_tls=least,
            proxy="" if is_socket else self._proxy(keys),
            http2=keys.http2,
            plain_mail=kind.is_mail and keys.insecure,
        )

    @property
    def usual(self) -> Door:
        """The door of what is no destination, such as the keys of senders: through the proxy of defaults, if there is one."""
        proxy = (self._defaults.proxy if self._defaults else None) or NO_PROXY
        return Door() if proxy == NO_PROXY else Door(proxy=proxy)

    def _proxy(self, keys: DestinationKeys) -> str:
        found = keys.proxy or (self._defaults.proxy if self._defaults else None) or NO_PROXY
        return "" if found == NO_PROXY else found

    def _trusted(self, ca: Words) -> str:
        """The PEM certificates in a file; empty after a problem was reported."""
        if ca.is_stand_in:
            return ""
        hint = "name a file that starts with -----BEGIN CERTIFICATE-----, relative to the folder of routes.yaml"
        return self._read(ca, "ca", certificates, hint) or ""

    def _pair(self, cert: Words, key: Words | None) -> tuple[str, str]:
        """The files of a client certificate and its key, checked; empty if they cannot be used or are not known."""
        files = [each for each in (cert, key) if each is not None]
        if any(each.is_stand_in for each in files):
            return "", ""
        hint = "name PEM files, relative to the folder of routes.yaml"
        is_cert = self._read(cert, "cert", partial(_beginning, b"CERTIFICATE"), hint)
        is_key = key is None or self._read(key, "key", partial(_beginning, b""), hint)
        if not (is_cert and is_key):
            return "", ""
        paths = [str((self._folder / each.text).absolute()) for each in files]
        if problem := _problem_of_pair(*paths):
            hint = "name the key that belongs to the certificate, both in PEM form"
            self._reading.error(cert.node, f'cert: "{cert.shown}" cannot be used: {problem}', hint)
            return "", ""
        return paths[0], paths[1] if key else ""

    def _read(self, written: Words, name: str, convert: Callable[[bytes], str], hint: str) -> str | None:
        """What ``convert`` makes of a file; None after a problem was reported."""
        try:
            return convert(self._reading.references.values.read(written.text, _MOST_CERTIFICATES))
        except OSError as error:
            reason = (error.strerror or "it cannot be read").lower()
        except ValueError as error:
            reason = str(error)
        self._reading.error(written.node, f'{name}: "{written.shown}" cannot be used: {reason}', hint)
        return None


def _beginning(sign: bytes, data: bytes) -> str:
    """How a PEM file's part of that kind begins. ValueError if there is none, as in a pipe, which libcurl would wait for."""
    if b"-----BEGIN " + sign not in data:
        raise ValueError(f"nothing in it begins with -----BEGIN {sign.decode()}".rstrip())
    return "-----BEGIN "


def _is_below(host: str | None, known: Iterable[str]) -> bool:
    return any(host == each or (host or "").endswith(f".{each}") for each in known)


def _scheme(url: Words) -> str:
    return url.text.partition("://")[0].lower()


def _problem_of_pair(cert: str, key: str | None = None) -> str:
    """Why TLS could not show this certificate; empty: it could."""

    def no_password() -> str:
        raise ValueError("its key is encrypted: store it without a passphrase, readable by the gateway alone")

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, no_password)
    except ssl.SSLError as error:
        is_other = error.reason == "KEY_VALUES_MISMATCH"
        return "the key belongs to another certificate" if is_other else "no certificate with its key in PEM form"
    except (OSError, ValueError) as error:
        return str(error)
    return ""


def _secret_sent(keys: DestinationKeys) -> str:
    """What every request to a destination carries that nobody else may read, in words."""
    if keys.auth is not None:
        return f"auth.{next(iter(keys.auth.written), 'bearer')}"
    if any(name.lower() == "authorization" for name in keys.headers):
        return "the header authorization"
    kind = KINDS[keys.type]
    if secret := next((name for name, option in kind.options.items() if option.is_secret), ""):
        return secret
    return "" if kind.is_path_public else f"the address of {kind.title}, which is its login,"
