"""``gateway sources``: the known senders, and a fragment of routes.yaml for each."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gateway import presets
from gateway.config.samples import documented
from gateway.config.sources import sampled_source
from gateway.errors import GatewayError
from gateway.event.paths import as_written
from gateway.signatures import Scheme
from gateway.signatures.declared import scheme_of
from gateway.signatures.message import parts

#: More of them in one signed text are counted, not listed.
_MOST_FIELDS: Final = 2


class UnknownSender(GatewayError):
    """There is no preset of that name."""

    exit_code = 2


def list_all(*, as_json: bool) -> int:
    """Print every sender, a line each."""
    found = [presets.load(name) for name in presets.NAMES]
    if as_json:
        print(json.dumps([_facts(each) for each in found], indent=2))
        return 0
    width = max(len(each.name) for each in found)
    for each in found:
        print(f"{each.name:<{width}}  {each.title}: {in_words(each)}")
    print(
        "\nFor any other sender, describe its signature with verify: in routes.yaml.\n`gateway sources NAME` shows one."
    )
    return 0


def show(name: str, *, as_json: bool) -> int:
    """Print one sender, or that of a product, and what to write into routes.yaml for it."""
    known = name if name in presets.NAMES else presets.by_product(name)[0]
    if not known:
        hint = presets.meant(name)
        more = "`gateway sources` lists the known ones; describe any other with verify:"
        raise UnknownSender(f"unknown sender {name}: {hint + ' ' if hint else ''}{more}")
    preset = presets.load(known)
    if as_json:
        print(json.dumps(_facts(preset), indent=2))
        return 0
    print(f"{preset.title}: {in_words(preset)}\n{preset.page}")
    if preset.secret:
        print(f"The secret: {preset.secret}")
    if preset.notes:
        print(preset.notes.strip())
    for line in (*_attrs_in_words(preset), *_samples_in_words(preset)):
        print(line)
    print(f"\n{fragment(preset)}")
    return 0


def fragment(preset: presets.Preset) -> str:
    """What to write into routes.yaml for a sender."""
    variable = preset.variable
    lines = ["sources:", f"  {preset.name}:", f"    preset: {preset.name}"]
    if any("jwt" in block for block in preset.verify):
        lines.append("    verify: {jwt: {jwks: https://auth.example.com/.well-known/jwks.json}}   # the sender's keys")
    elif {"none": True} not in preset.verify and not any(each.is_secret for each in preset.handshakes):
        lines.append(f"    secret: ${{{variable}}}")
        if any(each.token for each in preset.handshakes):
            token = f"{variable.removesuffix('_SECRET')}_VERIFY_TOKEN"
            lines.append(f'    verify: {{handshake_token: "${{{token}}}"}}')
    signed = " ".join(str(block.get("signature", {}).get("signed", "")) for block in preset.verify)
    if "{url}" in signed or "{uri}" in signed:
        lines.append(f"    public_url: https://hooks.example.com/in/{preset.name}   # exactly as the sender knows it")
    return "\n".join(lines)


def _attrs_in_words(preset: presets.Preset) -> Iterator[str]:
    """Where the fields are that conditions and templates call ``attrs.id``."""
    paths, filled = _attrs_paths(preset)
    if paths:
        yield f"attrs is {_first_of(paths)}"
    yield from (f"attrs.{name}, where that lacks it, is {_first_of(others)}" for name, others in filled.items())


def _first_of(paths: Sequence[str]) -> str:
    return paths[0] if len(paths) == 1 else f"the first of these that the event has: {', '.join(paths)}"


def _samples_in_words(preset: presets.Preset) -> Iterator[str]:
    """The sample events, with the fields of ``attrs`` in each."""
    fields = _attrs_fields(preset)
    if fields:
        yield "Sample events, with the fields of their attrs:"
        width = max(map(len, fields))
        yield from (f"  {event_type:<{width}}  {', '.join(names)}" for event_type, names in fields.items())
    elif preset.samples:
        yield f"Sample events: {', '.join(preset.samples)}"


def _attrs_paths(preset: presets.Preset) -> tuple[list[str], dict[str, list[str]]]:
    """The paths of which the first that is there is ``attrs``, and those of fields that it may lack."""
    shortcut = preset.naming.shortcuts.get("attrs")
    if shortcut is None:
        return [], {}
    return [*map(as_written, shortcut.first)], {name: [*map(as_written, paths)] for name, paths in shortcut.fill}


def _attrs_fields(preset: presets.Preset) -> dict[str, list[str]]:
    """The fields of ``attrs`` by the type of each sample event; none of what are only examples."""
    found = dict[str, list[str]]()
    for sample in documented(sampled_source(preset)):
        attrs = sample.facts.get("attrs")
        if isinstance(attrs, Mapping):
            found.setdefault(sample.event.type, list(attrs))
    return found


def _facts(preset: presets.Preset) -> dict[str, object]:
    paths, filled = _attrs_paths(preset)
    return {
        "name": preset.name,
        "title": preset.title,
        "verified": in_words(preset),
        "page": preset.page,
        "samples": list(preset.samples),
        "attrs": {"paths": paths, "filled": filled, "fields": _attrs_fields(preset)},
        "routes_yaml": fragment(preset),
    }


def in_words(preset: presets.Preset) -> str:
    """How a sender's requests are verified, in one line."""
    if {"none": True} in preset.verify:
        return "not signed"
    return ", or ".join(_block_in_words(block) for block in preset.verify)


def _block_in_words(block: Mapping[str, Any]) -> str:
    # Where the keys are is the operator's to say.
    if "jwt" in block:
        header = block["jwt"].get("header", "authorization")
        return f"a JSON Web Token in {header}" + (" with a hash of the body" if "body_hash" in block["jwt"] else "")
    return _scheme_in_words(scheme_of(block))


def _scheme_in_words(scheme: Scheme) -> str:
    match scheme.way:
        case "signature":
            knobs = scheme.signature
            where = knobs.header or f"the body's {knobs.body}"
            is_hmac = not scheme.is_asymmetric and not knobs.algorithm.startswith("plain-")
            kind = f"HMAC {knobs.algorithm}" if is_hmac else knobs.algorithm.removeprefix("plain-")
            by = ", by a certificate that is fetched" if knobs.certificate else ""
            return f"{kind} of {_signed_in_words(knobs.signed)} in {where}{by}"
        case "token":
            elsewhere = f"the query's {scheme.query}" if scheme.query else f"the body's {scheme.payload}"
            return f"a token in {scheme.header or elsewhere}"
        case "url_secret":
            return "a secret at the end of the address"
        case "basic":
            return "a login"
        case _:
            return "a bearer token"


def _signed_in_words(signed: str) -> str:
    """A signed text as it is written, or how many fields it has, if it is a list of them."""
    fields = [part for part in parts(signed) if part[0] == "payload"]
    return signed if len(fields) <= _MOST_FIELDS else f"{len(fields)} fields of the body"
