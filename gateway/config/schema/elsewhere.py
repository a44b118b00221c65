"""What other products call the keys of a destination, and what to write instead."""

import re
from collections.abc import Mapping
from typing import Final

from gateway.config.schema import failing, rates
from gateway.config.schema.remedies import Instead, Remedy, write
from gateway.config.text.reader import Items, Map, Pair, Scalar
from gateway.destinations import KINDS, Kind
from gateway.egress.files import path_in
from gateway.wording import joined

#: Parts of a message, which a route sends.
OF_MESSAGES: Final = ("blocks", "attachments", "embeds", "cards", "icon_emoji", "icon_url", "avatar_url")
_REFERENCE: Final = re.compile(r"\$\{[A-Za-z_]\w*\}")


def kind_of(node: Map) -> Kind | None:
    """The type of a destination as it is written; None if there is none of that name."""
    written = next((pair.value for pair in node.pairs if pair.key.text == "type"), None)
    return KINDS.get(written.text if isinstance(written, Scalar) else "http")


def _reference(pair: Pair, name: str) -> str:
    """The variable that a value refers to, or else one of that name."""
    found = _REFERENCE.fullmatch(pair.value.text) if isinstance(pair.value, Scalar) else None
    return found[0] if found else f"${{{name}}}"


def _token(pair: Pair, around: Map) -> Instead:
    kind = kind_of(around)
    written = {each.key.text for each in around.pairs}
    if kind is not None and kind.name == "slack":
        keys = {
            "url": "https://slack.com/api/chat.postMessage",
            "auth": f'{{bearer: "{_reference(pair, "SLACK_BOT_TOKEN")}"}}',
            "channel": '"#leads"',
        }
        lacking = [key for key in keys if key == "auth" or key not in written]
        return Instead(f"write {joined([f'{key}: {keys[key]}' for key in lacking])}", tuple(lacking))
    if kind is not None and kind.name == "telegram":
        return write("url", "https://api.telegram.org", f", then /bot{_reference(pair, 'TELEGRAM_TOKEN')}")
    if kind is not None and "auth" not in kind.keys:
        return write("url", more=f": the whole address of the {kind.title} webhook, which is its login")
    return write("auth", f'{{bearer: "{_reference(pair, "TOKEN")}"}}')


def _user(pair: Pair, around: Map) -> Instead:
    kind = kind_of(around)
    if kind is not None and kind.needs_text and ("auth" not in kind.keys or kind.name == "slack"):
        return _part_of_message(pair, around)
    return write("auth", '{basic: {user: ..., password: "${PASSWORD}"}}')


def message_with(key: str) -> str:
    """The body of a message that has such a field, with its text."""
    contents = next((kind.contents for kind in KINDS.values() if key in kind.contents), ())
    text = "content" if "content" in contents else "text"
    return f"{{{text}: ..., {key}: ...}}"


def _part_of_message(pair: Pair, _around: Map) -> Instead:
    return write("body", message_with(pair.key.text), " in the route, as part of the message")


def _path(pair: Pair, around: Map) -> Instead | None:
    """``file: events.ndjson`` of a file."""
    kind = kind_of(around)
    text = pair.value.text if isinstance(pair.value, Scalar) else ""
    return write("path", path_in(text) or text) if kind is not None and not kind.has_url else None


def _kind(pair: Pair, _around: Map) -> Instead | None:
    """``kind: slack``, ``uses: slack``; None if that is not a type of destination."""
    text = pair.value.text.lower() if isinstance(pair.value, Scalar) else ""
    return write("type", text) if text in KINDS else None


def _api_url(pair: Pair, around: Map) -> Instead:
    """``api_url`` beside ``channel``: a webhook of Slack as Alertmanager has it."""
    written = {each.key.text for each in around.pairs}
    if "channel" not in written or "type" in written:
        return write("url")
    reference = _reference(pair, "")
    address = f': "{reference}"' if _REFERENCE.fullmatch(reference) else ""
    return Instead(
        f"write type: slack and url{address}, without channel: an incoming webhook has its own",
        ("type", "url"),
        covered=frozenset({"channel"}),
    )


def _endpoint(pair: Pair, _around: Map) -> Instead:
    """A path of its own, or the address."""
    text = pair.value.text if isinstance(pair.value, Scalar) else ""
    if not text.startswith("/"):
        return write("url")
    return write("path", text, " in the route that sends it")


def match_of_entry(pair: Pair, _around: Map) -> Instead:
    """Types of events, which a route matches."""
    nodes = pair.value.nodes if isinstance(pair.value, Items) else (pair.value,)
    types = [each.text for each in nodes if isinstance(each, Scalar) and _TYPE.fullmatch(each.text)]
    value = "" if len(types) < len(nodes) or not types else types[0] if len(types) == 1 else f"[{', '.join(types)}]"
    return write("match", value, " in the route that sends them")


#: A type of events, or a pattern.
_TYPE: Final = re.compile(r"[\w*]+(?:[./:][\w*]+)*")


def _rotated(_pair: Pair, around: Map) -> Instead | None:
    """``rotate: daily`` of a file; None of anything else."""
    kind = kind_of(around)
    hint = "remove it, and rotate the file with logrotate: it is opened again for each line"
    return Instead(hint) if kind is not None and not kind.has_url else None


FOREIGN: Final[Mapping[str, Remedy]] = {
    **failing.FAILING,
    **dict.fromkeys(
        ("token", "bot_token", "bearer", "access_token", "authorization", "Authorization", "authentication"), _token
    ),
    **dict.fromkeys(
        ("key", "api_key", "apikey", "api-key", "x-api-key", "X-API-Key"),
        write("auth", '{header: {name: x-api-key, value: "${API_KEY}"}}'),
    ),
    **dict.fromkeys(("user", "username", "password", "basic"), _user),
    **dict.fromkeys(("secret", "signing_secret"), write("sign", '{secret: "${SIGN_SECRET}"}')),
    **dict.fromkeys(OF_MESSAGES, _part_of_message),
    **dict.fromkeys(("file", "filename", "file_name", "file_path", "filepath"), _path),
    **dict.fromkeys(("kind", "uses", "provider", "platform", "driver", "service", "integration", "name"), _kind),
    **dict.fromkeys(("api_url", "slack_api_url"), _api_url),
    **dict.fromkeys(rates.NAMES, rates.of_destination),
    **dict.fromkeys(("endpoint", "resource"), _endpoint),
    **dict.fromkeys(("events", "event_types", "event_type", "event", "topics", "match"), match_of_entry),
    **dict.fromkeys(("rotate", "rotation", "max_size", "max_files", "max_backups"), _rotated),
    "backoff": write("retry", "{first: 1s, max: 1h}", ": waits double from first to max"),
    **dict.fromkeys(("message", "msg", "content"), write("text", more=" in the route that sends it")),
    **dict.fromkeys(
        ("verify", "verify_ssl", "ssl_verify", "verify_tls", "tls_verify", "skip_verify", "insecure_skip_verify"),
        write("tls", "{ca: its-ca.pem}", " to trust your own CA: certificates are always verified"),
    ),
}
