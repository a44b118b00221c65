"""The keys of a destination, and of ``defaults``."""

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final

from gateway.config.schema import elsewhere, rates, trees, values, ways
from gateway.config.schema.auth import AuthKeys
from gateway.config.schema.hours import HoursKeys
from gateway.config.schema.keys import Key, Section, key, keys_of, nested, read_section
from gateway.config.schema.reading import DEMO_TEXT, Parser, Reading, Shape, Unfit, Words, shape_of, shaped
from gateway.config.schema.retry import RetryKeys, read_retry
from gateway.config.schema.sign import SignKeys
from gateway.config.schema.success import SuccessKeys, read_success
from gateway.config.text.reader import Items, Map, Node, Scalar
from gateway.destinations import KINDS, Kind, Option
from gateway.destinations.gates import RATE
from gateway.destinations.recipes import recipe
from gateway.destinations.retry import Policy
from gateway.egress.files import path_in
from gateway.event.paths import PathRefused, split_path
from gateway.hiding.addresses import SHORTEST_SEGMENT, after_host
from gateway.render import TemplateText, is_literal


def _types_with(name: str) -> tuple[str, ...]:
    """The destination types that have a key which not all of them have."""
    return tuple(kind.name for kind in KINDS.values() if name in kind.keys)


@dataclass(frozen=True, kw_only=True)
class DefaultsKeys(Section):
    """Each key applies to destinations that do not set it; a destination's own value replaces it entirely."""

    noun = "defaults"
    timeout: float | None = key(values.duration(0.1, "1h"), "how long one attempt may take: 10s", usual="10s")
    retry: RetryKeys | Policy | None = key(
        read_retry,
        "when to retry a failed delivery: {for: 24h, first: 1s, max: 1h}, a list of waits such as [1s, 10s, 1m], or none",
        usual={"for": "24h", "first": "1s", "max": "1h"},
    )
    concurrency: int | None = key(
        values.integer(1, 1024), "maximum number of deliveries in flight at once: 32", usual=32
    )
    success: tuple[SuccessKeys, ...] | None = key(
        read_success,
        "which responses count as accepted, a rule or a list of rules of which one must match: {json: {ok: true}}; "
        "under defaults it applies to type http only, as the other types have their own",
        types=_types_with("url"),
    )
    proxy: str | None = key(
        ways.proxy,
        "the proxy that requests go through: http://proxy.example.com:3128, https://... or socks5h://..., with user:password@ "
        "before the host if it asks for a login; none: directly",
        types=_types_with("url"),
    )


def _options() -> Mapping[str, Key]:
    """The keys that destination types bring with them."""
    found: dict[str, dict[str, Option]] = {}
    for kind in KINDS.values():
        for name, option in kind.options.items():
            found.setdefault(name, {})[kind.name] = option
    return {name: Key(parse=_parser(of), about=_about(of), types=tuple(of)) for name, of in found.items()}


def _parser(of: Mapping[str, Option]) -> Parser[TemplateText]:
    return trees.templates if any(option.many for option in of.values()) else trees.template


def _about(of: Mapping[str, Option]) -> str:
    """One line about an option, which several types can have for something different."""
    first = next(iter(of.values())).about
    if all(option.about == first for option in of.values()):
        return first
    return "; ".join(f"for {kind}, {option.about.replace('; ', ', ')}" for kind, option in of.items())


def _hint_path(written: Words, label: str) -> tuple[str, ...]:
    where, _, text = written.text.partition(":")
    try:
        path = split_path(text)
    except PathRefused as refused:
        raise Unfit(f'{label}: "{written.shown}" {refused}', refused.hint) from None
    if where != "json" or not text or "" in path:
        raise Unfit(
            f'{label}: "{written.shown}" does not say where to look', "write json: and a path: json:retry_after"
        )
    return path


def _rate(written: Words, label: str) -> str:
    if RATE.fullmatch(written.text) is None:
        hint = f"write {' or '.join(rates.rates_like(written.shown)) or _RATES}"
        raise Unfit(f'{label}: "{written.shown}" is not a valid rate', hint)
    return written.text


_RATES: Final = "10/s, 60/min, 100/h or none"
_one_rate: Final = values.typed(_rate, {**values.spelled("rate", RATE.pattern), "type": "string"})


@shaped(shape_of(_one_rate))
def _read_rate(reading: Reading, node: Node, label: str) -> str | None:
    """A rate; a map is one in the notation of another product."""
    if not isinstance(node, Map):
        return _one_rate(reading, node, label)
    reading.error(node, f"{label} must be one value, not a map", f"write {rates.rate_of(node) or _RATES}")
    return None


@dataclass(frozen=True, kw_only=True)
class DestinationKeys(DefaultsKeys):
    noun = "a destination"
    foreign = elsewhere.FOREIGN
    options_known = _options()
    type: str = key(
        values.choice(KINDS, "destination type", values.named, recipe),
        f"{', '.join(KINDS)}; http if left out",
        default="http",
    )
    url: Words | None = key(
        values.address,
        "its address: https://crm.example.com/api, http+unix://%2Frun%2Fapp.sock/path for a Unix socket, or smtps://mail.example.com "
        "for e-mail",
        types=_types_with("url"),
    )
    method: str | None = key(
        values.method, "the HTTP method; POST if neither this nor the route sets it", types=_types_with("method")
    )
    headers: Mapping[str, Words] = key(
        values.map_of(values.words),
        "headers of every request; a route can add to them and override them",
        factory=dict,
        types=_types_with("headers"),
    )
    auth: AuthKeys | None = key(
        nested(AuthKeys),
        "how to authenticate: bearer, basic, header, oauth2 or aws; a route cannot change it",
        types=_types_with("auth"),
    )
    sign: SignKeys | None = key(
        nested(SignKeys),
        'how to sign each request, as Standard Webhooks or otherwise: {secret: "${SIGN_SECRET}"}, '
        '{key: "${file:sign.pem}"}, {preset: github, secret: "${SIGN_SECRET}"}',
        types=_types_with("sign"),
    )
    retry_after: tuple[str, ...] | None = key(
        values.typed(_hint_path, {"title": "text", "type": "string", "pattern": r"^json:.|\$\{"}),
        "where the JSON of a response says how many seconds to wait: json:retry_after",
        types=_types_with("headers"),
    )
    rate: str | None = key(
        _read_rate,
        "how often deliveries may start, spread evenly: 10/s, 60/min, 100/h or none; hosted services have their own default",
    )
    order_by: Words | None = key(
        values.words, "deliver events with the same value of this field one at a time, in the order received: attrs.id"
    )
    paused: bool = key(
        values.boolean,
        "true: hold its deliveries; nothing is lost, and the time does not count towards retry.for",
        default=False,
    )
    hours: HoursKeys | None = key(
        nested(HoursKeys),
        "when it may be sent to; outside of them its deliveries wait, without using up retry.for: {days: mon-fri, from: 09:00, "
        "to: 18:00, zone: Europe/Berlin}",
    )
    public: bool | None = key(
        values.boolean,
        "true: its name may resolve to public addresses only; the default is true for hosted services, false for http",
        types=_types_with("url"),
    )
    insecure: bool = key(
        values.boolean,
        "true: a login, or a message for a hosted service, may cross the internet over http://, where anyone on the way can read it",
        default=False,
        types=_types_with("url"),
    )
    tls: ways.TlsKeys | None = key(
        nested(ways.TlsKeys),
        'which certificates to trust and to show, and the least version of TLS: {ca: crm-ca.pem, cert: crm.pem, min: "1.3"}',
        types=_types_with("url"),
    )
    http2: bool = key(
        values.boolean,
        "true: use HTTP/2 if the destination offers it; needs https://",
        default=False,
        types=_types_with("headers"),
    )
    host: str | None = key(
        ways.host,
        "the host that requests name instead of the url's; TLS still verifies the url's: crm.example.com",
        types=_types_with("headers"),
    )
    user_agent: str | None = key(
        ways.user_agent, "the user agent that requests name instead of gateway/<version>", types=_types_with("headers")
    )
    path: Words | None = key(
        values.words,
        "the file to append one JSON line to for each delivery, relative to the working directory of the gateway unless it starts with /; its folder must exist",
        types=_types_with("path"),
    )
    enabled: bool = key(
        values.boolean, "false: as if it were not in the file; deliveries waiting for it become dead", default=True
    )
    #: Whether `dev` records its requests, because a variable in its url or path is not set.
    is_inbox: bool = False

    @property
    def has_unknown_type(self) -> bool:
        """Whether its type was reported, so that it has the usual one instead."""
        written = getattr(self.written["type"].value, "text", "") if "type" in self.written else self.type
        return "type" in self.meant or (written != self.type and "${" not in written)

    @classmethod
    def fitting(cls, node: Map) -> Collection[str]:
        """The keys of its type."""
        kind = elsewhere.kind_of(node)
        return [
            name for name, (_, each) in keys_of(cls).items() if not (kind and each.types) or kind.name in each.types
        ]


_WITHOUT_URL: Final = [kind.name for kind in KINDS.values() if not kind.has_url]
_OF_FILE: Final = {"properties": {"type": {"enum": _WITHOUT_URL}}, "required": ["type"]}

_NEEDED: Final = {
    kind.name: tuple(name for name, option in kind.options.items() if option.required) for kind in KINDS.values()
}


def _fitting(option: Option) -> Shape:
    one = {"pattern": rf"^(?:{option.pattern})$|\$\{{|\{{\{{|\{{%"}
    return {**one, "items": one} if option.many else one


def _then(kind: Kind) -> Shape:
    """What a destination of a type with options looks like; a text with a reference or a tag may become anything."""
    return {
        "required": _NEEDED[kind.name],
        "properties": {name: _fitting(option) for name, option in kind.options.items() if option.pattern},
    }


@shaped(
    {
        "$ref": DestinationKeys,
        "if": _OF_FILE,
        "then": {"required": ["path"]},
        "else": {"required": ["url"]},
        "allOf": [
            {"if": {"properties": {"type": {"const": kind.name}}, "required": ["type"]}, "then": _then(kind)}
            for kind in KINDS.values()
            if kind.options
        ],
    }
)
def read_destination(reading: Reading, node: Node, label: str) -> DestinationKeys | None:
    """One destination, with the keys that its type requires."""
    # If the address is set, the operator means to send: any other unset variable is then a problem.
    is_inbox = reading.dev and any(reading.is_unset(address) for address in _addresses(node))
    with reading.stand_in(DEMO_TEXT) if is_inbox else nullcontext():
        found = read_section(reading, node, DestinationKeys, label)
        if found is None:
            return None
        found = _with_examples(reading, found)
        _check_options(reading, found, label)
    _hide_address(reading, found, label)
    _hide_options(reading, found, label)
    if found.has_unknown_type:
        # What it needs and cannot have is not known.
        return dataclasses.replace(found, is_inbox=is_inbox)
    if path := _path_as_url(found):
        message = f'a destination of type {found.type} cannot have "url"'
        reading.error(found.key_at("url"), message, f"write path: {path}")
        return dataclasses.replace(found, is_inbox=is_inbox, meant=found.meant | {"path"})
    for text, (_, declared) in keys_of(DestinationKeys).items():
        if text in found.written and declared.types and found.type not in declared.types:
            only = f"; only type {' or '.join(declared.types)} has it" if len(declared.types) <= 3 else ""
            message = f'a destination of type {found.type} cannot have "{text}"'
            reading.error(found.key_at(text), message, f"remove it{only}")
    for needed in ("url" if KINDS[found.type].has_url else "path", *_NEEDED[found.type]):
        if not found.has(needed):
            reading.error(found.place, f'{label} has no "{needed}"', _remedy(needed, KINDS[found.type]))
    return dataclasses.replace(found, is_inbox=is_inbox)


def _path_as_url(found: DestinationKeys) -> str:
    """The path of a file that was written as its url; empty if there is none."""
    if KINDS[found.type].has_url or found.url is None or found.has("path") or found.url.text != found.url.shown:
        return ""
    return path_in(found.url.text) or ("" if "://" in found.url.text else found.url.text)


def _remedy(needed: str, kind: Kind) -> str:
    """What to write for a key that a type of destination needs."""
    about = keys_of(DestinationKeys)[needed][1].about
    if needed != "url" or kind.name == "http":
        return about
    needs = kind.needs.replace("``", "")
    for mark in kind.secret_after:
        # What follows it would be masked.
        needs = needs.replace(mark, f"{mark[:-1]}, then /")
    return f"write {needs}"


def _with_examples(reading: Reading, found: DestinationKeys) -> DestinationKeys:
    """The destination with what its options could be in place of variables that are not set."""
    made = dict(found.options)
    for name, option in KINDS[found.type].options.items():
        if not option.example or name not in made:
            continue
        node = found.written[name].value
        nodes = [each for each in (node.nodes if isinstance(node, Items) else [node]) if isinstance(each, Scalar)]
        texts = [reading.resolved(each, reading.references.resolve_in_template) for each in nodes]
        if any(each is not None and each.is_stand_in for each in texts):
            known = (option.example if each.is_stand_in else each.text for each in texts if each is not None)
            made[name] = TemplateText(", ".join(known), made[name].place)
    return dataclasses.replace(found, options=made)


def _check_options(reading: Reading, found: DestinationKeys, label: str) -> None:
    """Refuse a written value that the type does not have. What a template makes is known only with the event."""
    for name, option in KINDS[found.type].options.items():
        if not option.pattern or name not in found.options:
            continue
        node = found.written[name].value
        for each in node.nodes if isinstance(node, Items) else [node]:
            made = reading.resolved(each, reading.references.resolve_in_template) if isinstance(each, Scalar) else None
            if not isinstance(each, Scalar) or made is None or not is_literal(made.text):
                continue
            value = reading.resolved(each, reading.references.resolve)
            if value is not None and not value.is_stand_in and re.fullmatch(option.pattern, value.text) is None:
                reading.error(each, f'"{name}" of {label}: "{value.shown}" is not allowed', option.about)


def _hide_address(reading: Reading, found: DestinationKeys, label: str) -> None:
    """Make a secret of every part of an address in the file that is not known to be public."""
    if found.url is None or found.url.is_stand_in:
        return
    written, kind = found.url.node, KINDS[found.type]
    if _path_as_url(found) or (kind.name == "http" and path_in(written.text)):
        reading.report.public.add(written.text)
        return
    is_known = "type" not in found.written or getattr(found.written["type"].value, "text", "") == found.type
    if kind.is_path_public and is_known:
        reading.report.public.add(written.text)
        return
    address = found.url.text
    long = (each for each in kind.secrets_of(address) if _is_no_word(each))
    reading.secrets.update((address, *long, *kind.moved(address)))
    if secret := after_host(written.text):
        reading.report.hide(written.content, secret)
        if kind.needs_text and "${" not in written.text:
            reading.is_literal(written, f'"url" of {label}', "url")


def _hide_options(reading: Reading, found: DestinationKeys, label: str) -> None:
    """Make a secret of what an option that opens something is in the file."""
    for name, option in KINDS[found.type].options.items():
        node = found.written[name].value if name in found.options else None
        if option.is_secret and isinstance(node, Scalar) and is_literal(node.text) and "${" not in node.text:
            reading.secrets.add(node.text)
            reading.report.hide(node.content, node.text)
            reading.is_literal(node, f'"{name}" of {label}', name)


def _is_no_word(secret: str) -> bool:
    return len(secret) >= SHORTEST_SEGMENT


def _addresses(node: Node) -> Sequence[Node]:
    pairs = node.pairs if isinstance(node, Map) else ()
    return [pair.value for pair in pairs if pair.key.text in ("url", "path")]
