"""The keys that say how a destination is reached: ``proxy``, ``tls``, ``host``, ``user_agent``."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final
from urllib.parse import unquote, urlsplit

from gateway.config.schema import values
from gateway.config.schema.keys import Section, key
from gateway.config.schema.reading import Parser, Reading, Shape, Unfit, Words, shaped
from gateway.config.schema.remedies import Remedy, write
from gateway.config.text import hosts
from gateway.config.text.reader import Node, Scalar

#: The value of ``proxy`` for none at all.
NO_PROXY: Final = "none"
_PROXIES: Final = ("http", "https", "socks5h")
_PROXY: Final = r"none|(?:https?|socks5h)://\S+"
_LIKE: Final = "write http://proxy.example.com:3128, https://..., socks5h://... or none"
#: Bytes of each half of a login that SOCKS can carry (RFC 1929).
_LONGEST_OF_SOCKS: Final = 255
_AUTHORITY: Final = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?")
#: A host and its port, without a scheme and a login.
_PLACE: Final = re.compile(r"[A-Za-z0-9.-]+:\d{1,5}")
_TEXT: Final = re.compile(r"[\x20-\x7e]+")


@shaped(values.TEXT)
def _words_with_a_login(reading: Reading, node: Node, label: str) -> Words | None:
    """An address whose login is never shown, in whatever form."""
    if isinstance(node, Scalar) and "@" in node.text:
        reading.report.hide(node.content, node.text)
    written = values.words(reading, node, label)
    if written is not None and not written.is_stand_in:
        reading.secrets.update(_secrets_of(written.text))
    return written


def _secrets_of(proxy: str) -> Iterator[str]:
    login = proxy.partition("://")[2].rpartition("@")[0]
    password = login.partition(":")[2]
    yield from filter(None, (login, unquote(login), password, unquote(password)))


def _proxy(written: Words, label: str) -> str:
    """``http://proxy.lan:3128``, with the login as it is written; NO_PROXY for none."""
    if written.text == NO_PROXY:
        return NO_PROXY
    if problem := hosts.unknown_name(written.text):
        raise Unfit(f"{label}: {problem[0]}", problem[1])
    address = hosts.in_ascii(written.text)
    scheme, separator, rest = address.partition("://")
    if scheme not in _PROXIES or not separator:
        hint = "write socks5h://: names are looked up by the proxy" if scheme.startswith("socks") else _LIKE
        if _PLACE.fullmatch(written.shown):
            hint = f"write http://{written.shown}"
        raise Unfit(f"{label} does not start with http://, https:// or socks5h://", hint)
    if not re.fullmatch(r"[\x21-\x7e]+", address) or re.search(r"[/?#]", rest.removesuffix("/")):
        raise Unfit(f"{label} is not just scheme, login, host and port", _LIKE)
    _check_place(address, label)
    _check_login(scheme, rest.rpartition("@")[0], label)
    return address.removesuffix("/")


def _check_place(address: str, label: str) -> None:
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not hosts.is_host(host):
        raise Unfit(f"{label} has no valid host or port", _LIKE)
    if not port:
        # curl and others differ in what they mean without one.
        raise Unfit(f"{label} has no port", "write it: http://proxy.example.com:3128")
    if problem := hosts.host_problem(host):
        raise Unfit(f"{label}: {problem[0]}", problem[1])


def _check_login(scheme: str, login: str, label: str) -> None:
    halves = [unquote(half) for half in login.partition(":")[::2]]
    if not all(half.isprintable() for half in halves):
        raise Unfit(f"{label}: its login holds a control character", "remove it")
    if scheme == "socks5h" and any(len(half.encode()) > _LONGEST_OF_SOCKS for half in halves):
        raise Unfit(f"{label}: its login is too long", f"SOCKS has at most {_LONGEST_OF_SOCKS} bytes for each half")


proxy: Final = values.typed(
    _proxy,
    {"title": "text", "type": "string", "pattern": rf"^(?:{_PROXY})$|\$\{{"},
    _words_with_a_login,
)


def _host(written: Words, label: str) -> str:
    """``crm.example.com`` or ``crm.example.com:8443``."""
    found = _AUTHORITY.fullmatch(written.text)
    name = hosts.in_ascii(f"http://{found[1]}").removeprefix("http://") if found else ""
    if found is None or not hosts.is_host(name) or int(found[2] or "1") not in range(1, 65_536):
        hint = "write the name alone, or with a port: crm.example.com:8443"
        raise Unfit(f'{label}: "{written.shown}" is not a valid host', hint)
    return f"{name}:{found[2]}" if found[2] else name


#: What a request names as its host.
host: Final = values.typed(_host, {**values.TEXT, "pattern": r"^[^\s/@?#]+$|\$\{"})


def _user_agent(written: Words, label: str) -> str:
    if "{{" in written.node.text:
        raise Unfit(f"{label} must be literal", "name the program alone: Acme-Hooks/1.0")
    if not _TEXT.fullmatch(written.text) or written.text != written.text.strip():
        hint = "write printable ASCII on one line, without spaces at its ends: Acme-Hooks/1.0"
        raise Unfit(f"{label} is empty, or holds what a header cannot", hint)
    return written.text


user_agent: Final = values.typed(_user_agent, {**values.TEXT, "pattern": r"^[!-~](?:[ -~]*[!-~])?$"})


def _version(written: Words, label: str) -> str:
    if written.text not in ("1.2", "1.3"):
        raise Unfit(f'{label}: "{written.shown}" is not a version of TLS that is safe to use', 'write "1.2" or "1.3"')
    return written.text


_min: Final[Parser[str]] = values.typed(_version, {"anyOf": [{"enum": ["1.2", "1.3", 1.2, 1.3]}, values.REFERENCE]})


@dataclass(frozen=True, kw_only=True)
class TlsKeys(Section):
    noun = "tls"
    is_text_secret = False
    instead_of_text = "tls: {ca: its-ca.pem} to trust your own CA: certificates are always verified"
    foreign: ClassVar[Mapping[str, Remedy]] = dict.fromkeys(
        ("verify", "verify_ssl", "insecure", "insecure_skip_verify", "skip_verify", "reject_unauthorized"),
        write("ca", "its-ca.pem", " to trust your own CA: certificates are always verified"),
    )
    together: ClassVar[Shape] = {"minProperties": 1, "dependentRequired": {"key": ["cert"]}}
    ca: Words | None = key(
        values.words,
        "a file of PEM certificates to trust instead of the system's, relative to the folder of routes.yaml: crm-ca.pem",
    )
    cert: Words | None = key(
        values.words, "a file with the certificate to show as a client and its chain (PEM), relative likewise: crm.pem"
    )
    cert_key: Words | None = key(
        values.words, "the file of that certificate's key, unencrypted; the file of cert if left out", name="key"
    )
    min: str | None = key(_min, 'the least version of TLS: "1.2" or "1.3"', usual="1.2")
