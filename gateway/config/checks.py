"""Checks of paths, headers, logins and names. Problems never show a value that could contain a secret."""

import base64
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from gateway import presets
from gateway.config.schema.auth import AuthKeys, BasicKeys
from gateway.config.schema.destinations import DestinationKeys
from gateway.config.schema.entries import EntryKeys
from gateway.config.schema.keys import keys_of
from gateway.config.schema.reading import NOT_A_VARIABLE, Reading, Words
from gateway.config.schema.sources import SourceKeys
from gateway.config.schema.values import refuse_header_name
from gateway.config.schema.verify import VerifyKeys
from gateway.config.text import variables
from gateway.config.text.reader import Map, Node, Pair, Scalar
from gateway.destinations import KINDS
from gateway.destinations.requests import RESERVED_HEADERS
from gateway.errors import Place
from gateway.event.braces import template_problem
from gateway.event.paths import ROOTS, PathRefused, split_path, starred_path
from gateway.hiding.addresses import MASK
from gateway.render import FUNCTIONS
from gateway.wording import HEADER_NAME, suggest

_SOURCE_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")
_REFERENCE: Final = re.compile(r"(?<!\$)\$\{(file:[^}]+|[A-Za-z_][A-Za-z0-9_]*)")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")
#: What a sender may write into one.
_SENT_VALUE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")

#: The ways to authenticate, of which a destination has one.
WAYS: Final = tuple(keys_of(AuthKeys))
_SOME_WAYS: Final = f"{', '.join(WAYS[:-1])} and {WAYS[-1]}"
#: Set by the gateway on every request.
_OF_THE_GATEWAY: Final = frozenset({"webhook-id", "accept-encoding", "user-agent"})
NONE_OWN: Final[Mapping[str, str]] = MappingProxyType({})
#: Those that a key of the destination sets.
_WITH_A_KEY: Final = {"host": "host", "user-agent": "user_agent"}


def source_path(reading: Reading, path: Words) -> None:
    """Check a path: a request line must have only one way to write it."""
    if not path.text.startswith("/"):
        reading.error(path.node, f'path: "{path.shown}" does not start with /', f"write /{path.shown}")
    elif not _SOURCE_PATH.fullmatch(path.text) or {".", ".."} & set(path.text.split("/")):
        hint = "use letters, digits and - . _ ~ between single slashes, with none at the end: /hooks/xobito"
        reading.error(path.node, f'path: "{path.shown}" can be written in more than one way', hint)


def meant_destination(name: str, types: Mapping[str, str]) -> str:
    """What to write instead of a type or an address as a destination; empty for any other name. ``types``: by their names."""
    if "://" in name:
        return "write the name of a destination with this url: destinations: {crm: {url: ...}}"
    if name in ("none", "nothing"):
        return "write [] to ignore the event"
    if name in ("all", "*", "**", "any"):
        return f"list them all: [{', '.join(types)}]"
    named = [each for each, kind in types.items() if kind == name]
    return f"write {' or '.join(named)}, which {'is' if len(named) == 1 else 'are'} of type {name}" if named else ""


def sent_nowhere(reading: Reading, keys: EntryKeys, key: str) -> None:
    """Refuse a key that says how or when an entry sends, if it sends nothing."""
    if keys.to == ():
        message = f'"{key}" of "{keys.called}" has no effect: to is []'
        reading.error(keys.key_at(key), message, "remove it, or name a destination")


def path_to_one(reading: Reading, path: Words, parse: Callable[[str], tuple[str, ...]] = split_path) -> tuple[str, ...]:
    """The segments of a path; empty after a problem was reported."""
    try:
        return parse(path.text)
    except PathRefused as refused:
        reading.error(path.node, f'"{path.shown}" {refused}', refused.hint)
        return ()


def shortcuts(reading: Reading, keys: SourceKeys) -> bool:
    """Check the names of shortcuts, and that each is a part of the payload; whether all of it is valid."""
    before = len(reading.report.problems)
    for name, paths in keys.shortcuts.items():
        place = keys.name_at("shortcuts", name)
        if not name.isidentifier() or not name.isascii():
            reading.error(place, f'"{name}" is not a valid shortcut name', "use letters, digits and _: order")
        elif name in ROOTS or name in FUNCTIONS:
            reading.error(place, f'the shortcut "{name}" would hide a built-in name', "rename it")
        for path in paths:
            segments = path_to_one(reading, path)
            if segments and (segments[0] != "payload" or "" in segments):
                reading.error(path.node, f'"{path.shown}" is not a part of the payload', "write payload.data")
    return len(reading.report.problems) == before


def redacted(reading: Reading, keys: SourceKeys, shortcuts: Collection[str]) -> bool:
    """Check that an event can have the fields under ``redact``; whether all of them are valid."""
    if keys.redact is None:
        return True
    before = len(reading.report.problems)
    roots = ("payload", "headers", "query", *sorted(shortcuts))
    paths = keys.redact.paths
    for path in paths:
        root, *rest = path_to_one(reading, path, starred_path) or ("",)
        if not root:
            continue
        if root in ("event", "vars"):
            hint = f"name a field of the payload or a header: {roots[-1]}.email"
            reading.error(path.node, f'redact: "{path.shown}" belongs to the gateway itself and cannot be hidden', hint)
        elif root not in roots:
            hint = suggest(root, roots) or f"start with one of {', '.join(roots)}: {roots[-1]}.{path.shown}"
            reading.error(path.node, f'redact: unknown field "{path.shown}"', hint)
        elif "" in rest or (root in ("headers", "query") and not rest):
            example = "headers.x-user" if root == "headers" else f"{root}.email"
            reading.error(path.node, f'redact: "{path.shown}" does not name a field', f"write {example}")
    if keys.redact.store and paths and all(path.text.startswith(("headers.", "query.")) for path in paths):
        hint = "name a field of the payload, or leave store out"
        what = "headers" if paths[0].text.startswith("headers.") else "fields of the query"
        reading.error(keys.redact.at("store"), f"redact: {what} are masked, but not removed from the store", hint)
    return len(reading.report.problems) == before


def ping(reading: Reading, name: str, keys: SourceKeys) -> None:
    """Check that a sender whose unsigned pings are accepted sends any."""
    if keys.ping is not None and presets.load(keys.preset or "").ping is None:
        known = ", ".join(each for each in presets.NAMES if presets.load(each).ping is not None)
        message = f'source "{name}": this sender is not known to send an unsigned ping'
        reading.error(keys.key_at("ping"), message, f"remove ping; it is for the presets {known}")


#: Ways to verify that show the secret itself, and cover nothing of the event.
_SHOWING: Final = ("token", "bearer", "basic", "url_secret")


def signature_kept(reading: Reading, name: str, keys: SourceKeys) -> None:
    """Warn of a way to verify that is weaker than the signature of the preset, which it replaces."""
    preset = presets.load(keys.preset or "")
    own = keys.verify if isinstance(keys.verify, VerifyKeys) else None
    way = next((way for way in _SHOWING if own is not None and own.has(way)), "")
    if own is None or not way or not preset.verify or not all("signature" in block for block in preset.verify):
        return
    asks = any(each.token for each in preset.handshakes)
    hint = "write verify: {handshake_token: ...} for the token of its handshake" if asks else f"remove {way}"
    message = f'source "{name}": {way} replaces the signature of {preset.title}, which covers the whole event'
    reading.warning(own.key_at(way), message, f"{hint}, unless the requests are not signed")


def windows(reading: Reading, name: str, keys: SourceKeys) -> None:
    """Check that what becomes of an event that comes again is not said twice."""
    if keys.dedupe == 0 and keys.redeliver is not None:
        message = f'source "{name}": with dedupe: none no event comes again, so there is nothing to replay'
        reading.error(keys.key_at("redeliver"), message, "remove redeliver, or write a window: dedupe: 30d")


def event_names(reading: Reading, name: str, keys: SourceKeys, home: Callable[[str], str]) -> bool:
    """Check what names, identifies and splits the events of a source; whether all of it is valid."""
    before = len(reading.report.problems)
    for key, written in (("type", keys.type or ()), ("id", keys.id or ())):
        for each in written:
            if problem := template_problem(each.text) or _constant_problem(key, each.text, written, home):
                reading.error(each.node, f'{key} of source "{name}": {problem[0]}', problem[1])
    for path in keys.split or ():
        if len(keys.split or ()) == 1 and path.text == "none":
            continue
        segments = path_to_one(reading, path, starred_path)
        if segments and (segments[0] != "payload" or "*" not in segments or "" in segments):
            hint = "write payload.events.*, or payload.* for a list"
            reading.error(path.node, f'split: "{path.shown}" does not lead to a list of events', hint)
    if keys.preset is None and keys.type is None and not keys.has("preset") and not keys.has("type"):
        reading.error(keys.place, f'source "{name}" does not say what names its events', 'add type: "{payload.type}"')
    return len(reading.report.problems) == before


#: What a text without braces begins with if it was meant as a path, besides the roots of an event.
_PATH_ROOTS: Final = frozenset({"query", "envelope", "body", "$"})


def _constant_problem(
    key: str, text: str, written: Sequence[Words], home: Callable[[str], str]
) -> tuple[str, str] | None:
    """What is wrong with a text that is the same for every event, and what to write; None if nothing is."""
    if "{" in text:
        return None
    root = re.split(r"[.\[]", text, maxsplit=1)[0]
    below = text.removeprefix(root).lstrip(".") or text
    field = text if root in ("payload", "headers", "query") else home(text) or f"payload.{below}"
    is_path = root != text and (root in ROOTS | _PATH_ROOTS or bool(home(text)))
    braces = f'write "{{{field if is_path else "payload." + text}}}", with the braces'
    if key == "id":
        return f'"{text}" is the same for every event, so all but the first would be duplicates', braces
    if is_path:
        return f'"{text}" is a text without braces, and would be the type of every event', braces
    if text != written[-1].text:
        return (
            f'"{text}" is the type of every event, so what follows it is never used',
            "move it to the end, or remove it",
        )
    return None


def file_path(reading: Reading, path: Words) -> None:
    """Check that a path can name a file."""
    if not path.text.strip() or "\0" in path.text or path.text.endswith("/"):
        reading.error(path.node, "path: this is not a file name", "write one: unmatched.ndjson")


def auth(reading: Reading, keys: AuthKeys | None, *, is_mail: bool = False) -> tuple[str, str] | None:
    """The header that authenticates; None if there is none or a problem was reported."""
    if keys is None:
        return None
    ways = [way for way in WAYS if way in keys.written]
    if len(ways) != 1:
        if ways:
            reading.error(keys.place, f"auth needs one of {_SOME_WAYS}, not {' and '.join(ways)}", "keep one")
        elif not keys.written:
            reading.error(keys.place, "auth is empty", "add bearer, basic, header, oauth2 or aws")
        return None
    if is_mail and keys.basic is None and "basic" not in ways:
        hint = 'write auth: {basic: {user: ..., password: "${SMTP_PASSWORD}"}}'
        message = f"auth.{ways[0]}: a mail server needs a user and a password"
        reading.error(keys.key_at(ways[0]), message, hint)
        return None
    header = _auth_header(keys)
    if header is not None:
        header_name(reading, header[0], keys.place)
        if keys.basic is not None:
            # A server may answer with the login it has decoded.
            reading.secrets.add(_login(keys.basic))
        written = " ".join(_texts(keys.written[ways[0]].value))
        header_value(reading, "auth", header[1], written, keys.place)
    return header


def login(reading: Reading, keys: DestinationKeys) -> str:
    """Where a destination's login comes from and when it is read, in words; a chat's address is its login."""
    if keys.auth is not None:
        way = next((way for way in WAYS if way in keys.auth.written), "")
        return _origin(reading, f"auth.{way}", keys.auth.written[way].value) if way else ""
    if not KINDS[keys.type].is_path_public and keys.url is not None:
        return _origin(reading, "url", keys.url.node)
    return ""


def secret_from(reading: Reading, keys: SourceKeys) -> str:
    """Where the secrets of a source come from, in words; empty: it has none."""
    if keys.secret is None:
        return ""
    return _read_from(reading, [each.node for each in keys.secret.values]) or "the file"


def token_from(reading: Reading, keys: SourceKeys) -> str:
    """Where the token comes from that its sender shows in a handshake, in words; empty: from nowhere."""
    verify = keys.verify if isinstance(keys.verify, VerifyKeys) else None
    if verify is None or verify.handshake_token is None:
        return secret_from(reading, keys)
    return _read_from(reading, [verify.written["handshake_token"].value]) or "the file"


def headers(reading: Reading, keys: DestinationKeys, own: Mapping[str, str]) -> None:
    """Check the headers that every request to a destination has; ``own``: as for ``header_name``."""
    for header, value in keys.headers.items():
        header_name(reading, header, keys.name_at("headers", header), own)
        header_value(reading, f'header "{header}"', value.text, value.node.text, value.place)


def _origin(reading: Reading, called: str, node: Node) -> str:
    found = _read_from(reading, [node])
    return f"{called} is {found}" if found else f"{called} is written in the file"


def _read_from(reading: Reading, nodes: Sequence[Node]) -> str:
    """``${CRM_TOKEN}, which is read at start``; empty: nothing in the nodes comes from outside."""
    texts = [text for node in nodes for text in _texts(node)]
    names = list(dict.fromkeys(found for text in texts for found in _REFERENCE.findall(text)))
    if not names:
        return ""
    # `dev` reads .env again with the file.
    is_read_again = reading.dev or all(name.startswith("file:") for name in names)
    when = "on every reload" if is_read_again else "at start"
    are = "is" if len(names) == 1 else "are"
    return f"{' and '.join(f'${{{name}}}' for name in names)}, which {are} read {when}"


def _texts(node: Node) -> Iterator[str]:
    match node:
        case Scalar(text=text):
            yield text
        case Map(pairs=pairs):
            yield from (text for pair in pairs for text in _texts(pair.value))


def _auth_header(keys: AuthKeys) -> tuple[str, str] | None:
    if keys.bearer is not None:
        return "authorization", f"Bearer {keys.bearer.reveal()}"
    if keys.basic is not None and (login := _login(keys.basic)):
        return "authorization", f"Basic {base64.b64encode(login.encode('utf-8', 'replace')).decode()}"
    if keys.header is not None and keys.header.name is not None and keys.header.value is not None:
        return keys.header.name.text, keys.header.value.reveal()
    if keys.oauth2 is not None:
        # The token takes its place at each attempt.
        return "authorization", f"Bearer {MASK}"
    return None


def _login(keys: BasicKeys) -> str:
    """User and password as they are encoded; empty if one of them is missing."""
    if keys.user is None or keys.password is None:
        return ""
    return f"{keys.user.text}:{keys.password.reveal()}"


def header_name(reading: Reading, name: str, place: Place, own: Mapping[str, str] = NONE_OWN) -> None:
    """Check that the file may set a header; ``own``: those of the destination, in lower case, and the key that sets each."""
    lower = name.lower()
    remedy = f"write {_WITH_A_KEY[lower]}: ... on the destination" if lower in _WITH_A_KEY else "remove it"
    if not HEADER_NAME.fullmatch(name):
        refuse_header_name(reading, place, name)
    elif lower in RESERVED_HEADERS:
        reading.error(place, f'the header "{name}" is set automatically and cannot be overridden under headers', remedy)
    elif lower in _OF_THE_GATEWAY:
        reading.error(place, f'the header "{name}" is set by the gateway', remedy)
    elif lower in own:
        reading.error(place, f'the header "{name}" is set by the {own[lower]} of the destination', "keep one of them")


def header_value(reading: Reading, label: str, value: str, written: str, place: Place) -> None:
    """Check a literal value: HTTP can carry it, and it was not ``written`` as a template."""
    if not _HEADER_VALUE.fullmatch(value):
        reading.error(
            place, f"{label} contains a line break or a non-ASCII character", "remove it: HTTP cannot carry it"
        )
    if "{{" in written:
        name = variables.named_unrendered(written)
        hint = f'write "${{{name}}}" for a variable; ' if name else ""
        hint += 'write templates under "headers" of the route'
        reading.error(place, f"{label} of a destination must be literal", hint)
    elif hint := variables.in_header(written):
        reading.warning(place, f"{label}: {NOT_A_VARIABLE}", hint)


def no_variables(reading: Reading, headers: Pair | None) -> None:
    """Warn of variables in the headers of an entry that are written as another program has them."""
    for pair in headers.value.pairs if headers is not None and isinstance(headers.value, Map) else ():
        if isinstance(pair.value, Scalar) and (hint := variables.in_header(pair.value.text)):
            reading.warning(pair.value, f'header "{pair.key.text}": {NOT_A_VARIABLE}', hint)


def sent_header(reading: Reading, name: str, value: object, place: Place) -> None:
    """Check a header that the event of a test is sent with."""
    if not HEADER_NAME.fullmatch(name):
        refuse_header_name(reading, place, name)
    elif isinstance(value, bool) or not isinstance(value, str | int | float):
        reading.error(place, f'the header "{name}" must be a text', "write its value: {x-github-event: push}")
    elif not _SENT_VALUE.fullmatch(str(value)):
        reading.error(place, f'the header "{name}" contains a line break', "remove it: HTTP cannot carry it")
