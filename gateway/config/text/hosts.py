"""Urls and hosts as people write them: whether they can be used, and as what. Pure; a problem is (what is wrong, what to do)."""

import re
from typing import Final
from urllib.parse import urlsplit

from gateway.egress import unix
from gateway.egress.addresses import Reach, is_localhost, literal, odd_spelling, standing

Problem = tuple[str, str]

_URL_CHARACTERS: Final = re.compile(r"[\x21-\x7e]+")
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
#: A url's beginning, its login, its host and the rest.
_PARTS: Final = re.compile(r"((?:https?|socks5h|smtps?)://(?:[^/?#]*@)?)([^/?#:@\[\]]+)(.*)", re.DOTALL | re.IGNORECASE)
#: Domains that are not on the internet (RFC 6762, 6761, 8375; ICANN's .internal; Kubernetes).
_PRIVATE_DOMAINS: Final = (".local", ".internal", ".lan", ".home.arpa", ".test", ".svc", ".cluster.local")
#: Characters of a name and of one of its labels (RFC 1035, 2.3.4).
_LONGEST_NAME: Final = 253
_LONGEST_LABEL: Final = 63


def in_ascii(url: str) -> str:
    """The url with its host as A-labels (IDNA 2008): ``https://xn--mller-kva.example``; unchanged where that cannot be."""
    found = None if url.isascii() else _PARTS.fullmatch(url)
    try:
        return url if found is None else f"{found[1]}{_a_labels(found[2])}{found[3]}"
    except ValueError:
        return url


def _a_labels(host: str) -> str:
    """``xn--mller-kva.example`` for ``müller.example``. Raises ValueError with the reason."""
    if host.isascii():
        return host
    import idna

    return idna.encode(host, uts46=True).decode()


def url_problem(text: str, *, is_mail: bool = False) -> Problem | None:
    """What is wrong with a url: it is http, https, a Unix socket's or a mail server's, and its host is literal."""
    head = re.match(r"[^:/?#]*://[^/?#]*", text)
    if "{{" in text or "{%" in text:
        if head is None or "{{" in head[0] or "{%" in head[0]:
            return "scheme and host must be literal, so that no event can choose where it goes", "write https://host"
        return "a url must be literal", 'write the changing part under "path" or "query" of the route'
    text = in_ascii(text)
    if problem := unknown_name(text):
        return problem
    if not _URL_CHARACTERS.fullmatch(text):
        return "it is empty, or contains a space or a non-ASCII character", "percent-encode it: %20 for a space"
    if "unix:" in text.lower()[: len(unix.SCHEME)]:
        return _socket_problem(text)
    return _server_problem(text, is_mail=is_mail)


#: Schemes of a url, by whether it is a mail server's, and what to write.
_SCHEMES: Final = {
    False: (("http", "https"), "https:// or http://", "write the whole address: https://crm.example.com/api"),
    True: (
        ("smtp", "smtps"),
        "smtps:// or smtp://",
        "write the server: smtps://mail.example.com, or smtp:// for STARTTLS",
    ),
}


def _server_problem(text: str, *, is_mail: bool) -> Problem | None:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "its host or port cannot be read", "write https://host:port/path"
    schemes, called, hint = _SCHEMES[is_mail]
    if parts.scheme in ("smtp", "smtps") and not is_mail:
        return "a mail server is a destination of type email", "write type: email"
    if parts.scheme not in schemes:
        return f"it does not start with {called}", hint
    if is_mail and (parts.path.strip("/") or parts.query):
        return "a mail server has no path", "write smtps://mail.example.com, and who gets it under recipients"
    if parts.username is not None or parts.password is not None:
        return "it contains a user or password", "write auth: {basic: {user: ..., password: ...}}"
    if not is_host(host or "") or port == 0:
        return "it has no valid host", "write https://host:port/path"
    if parts.fragment:
        return "the part after # is never sent", "remove it"
    return host_problem(host or "")


def unknown_name(url: str) -> Problem | None:
    """Why the host of a url, if it is not ASCII, is not a name."""
    found = _PARTS.fullmatch(url)
    try:
        _a_labels(found[2] if found else "")
    except ValueError as error:
        return f"its host cannot be a domain name (IDNA 2008): {error}", "write the name as it is registered"
    return None


def _socket_problem(url: str) -> Problem | None:
    if not url.startswith(unix.SCHEME):
        return "the url of a Unix socket begins with http+unix://", unix.EXAMPLE
    try:
        path, asked = unix.parted(url)
    except ValueError as error:
        return str(error), unix.EXAMPLE
    if path.endswith("/"):
        return "the url names a folder, not a socket", unix.EXAMPLE
    return ("the part after # is never sent", "remove it") if "#" in asked else None


def host_problem(host: str) -> Problem | None:
    """Why a host that can be read cannot be used."""
    plain = odd_spelling(host)
    if plain is not None:
        meant = f"{host} is an odd spelling of {plain}" if plain else "its host looks like an IP address but is not one"
        return meant, f"write {plain or 'a name, or four numbers from 0 to 255'}"
    if len(host) > _LONGEST_NAME or max(map(len, host.split("."))) > _LONGEST_LABEL:
        return (
            "its host is too long",
            f"a name has at most {_LONGEST_NAME} characters, and {_LONGEST_LABEL} between two dots",
        )
    address = literal(host)
    found = None if address is None else standing(address)
    if found is None or found.reach is not Reach.FORBIDDEN:
        return None
    hint = "write 127.0.0.1 for this machine" if host in ("0.0.0.0", "::") else "write the address of a service"  # noqa: S104  nothing is bound to it
    return f"{host} is not allowed: it is {found.what}", hint


def is_host(text: str) -> bool:
    """Whether a text is a name or an address, without a port; an IPv6 address with or without brackets."""
    return _HOST.fullmatch(text if ":" not in text or text.startswith("[") else f"[{text}]") is not None


def private(url: str) -> str:
    """What of this machine or its network a url that can be used names by definition, in words; empty: nothing."""
    if url.startswith(unix.SCHEME):
        return "a Unix socket is on this machine"
    host = urlsplit(url).hostname or ""
    if is_localhost(host):
        return f"{host} in the url is this machine"
    address = literal(host)
    if address is None or standing(address).reach is not Reach.PRIVATE:
        return ""
    return f"{host} in the url is {standing(address).what}"


def is_on_the_internet(host: str) -> bool:
    """Whether a host is a public address, or a name with a dot that is not in a domain of private networks."""
    address = literal(host)
    if address is not None:
        return standing(address).reach is Reach.PUBLIC
    bare = host.lower().rstrip(".")
    return "." in bare and not bare.endswith(_PRIVATE_DOMAINS) and not is_localhost(bare)
