"""Sources: how their requests are verified and their events named, from the preset, the operator's settings and the secrets."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

from msgspec.structs import replace

from gateway import presets
from gateway.config import checks, handshakes, schemas, tracking
from gateway.config.samples import with_samples
from gateway.config.schema.keys import place_of
from gateway.config.schema.reading import DEMO_SECRET, Reading, Words
from gateway.config.schema.secrets import Written
from gateway.config.schema.sources import SourceKeys
from gateway.config.schema.verify import VerifyKeys, as_written
from gateway.config.text.reader import Scalar
from gateway.egress import Door
from gateway.event.braces import template_problem
from gateway.event.naming import Naming
from gateway.event.paths import MISSING, PathRefused, present, split_path
from gateway.event.paths import as_written as written_path
from gateway.event.payload import DROPPED_HEADERS, SECRET_HEADERS, SECRET_QUERY, parse
from gateway.hiding import redaction
from gateway.hiding.redaction import Redaction
from gateway.presets import Preset
from gateway.routing.sources import Source
from gateway.signatures import Credential, KeyRefused, Scheme, Verifier, stand_in_for, uses
from gateway.signatures.bound import Bound
from gateway.signatures.declared import SchemeRefused, merged, scheme_of
from gateway.signatures.handshakes import Handshake
from gateway.wording import closest, count

OPEN: Final = (Scheme(way="none"),)
#: Characters of a secret that is not worth a warning.
SHORTEST_GOOD: Final = 16


def own_source(values: Mapping[str, object]) -> Source:
    """The source of the gateway's own events."""
    own = sampled_source(presets.load(presets.OWN))
    return replace(own, naming=own.naming.extended({}, values))


def sampled_source(preset: Preset) -> Source:
    """A source that no request reaches, for its sample events."""
    return Source(
        name=preset.name,
        path="",
        preset=preset.name,
        verifier=Verifier(OPEN),
        naming=preset.naming,
        samples=preset.samples,
        sample_headers=preset.sample_headers,
    )


def compiled_source(
    reading: Reading, name: str, keys: SourceKeys, values: Mapping[str, object], door: Door
) -> Source | None:
    """Compile a source with the values of ``vars``; None after a problem was reported."""
    if name == "gateway":
        reading.error(keys.place, 'the name "gateway" is reserved for the gateway itself', "rename this source")
    is_own = keys.path is not None and not keys.path.is_stand_in
    if keys.path is not None and is_own:
        checks.source_path(reading, keys.path)
    shortcuts_fit = checks.shortcuts(reading, keys)
    checks.windows(reading, name, keys)
    checks.signature_kept(reading, name, keys)
    checks.ping(reading, name, keys)
    questions = handshakes.declared(reading, name, keys)
    verified = _verifier(reading, name, keys, learns=any(each.is_secret for each in questions))
    names_fit = checks.event_names(reading, name, keys, partial(_home, keys))
    if verified is None or not (shortcuts_fit and names_fit):
        return None
    preset = presets.load(keys.preset or "")
    bound = Bound(verified.schemes, verified.public_url)
    naming = _naming(preset, keys, values).bound(bound.covers)
    _advise_ids(reading, name, keys, bound)
    is_redaction_valid = checks.redacted(reading, keys, naming.shortcut_names)
    asked = handshakes.verified(reading, name, keys, questions, verified)
    secret_headers, secret_query = _secret_names(verified.schemes, questions)
    _refuse_secret_names(reading, name, keys, SECRET_QUERY | secret_query)
    redacted = _redaction(naming, keys if is_redaction_valid else None, verified.schemes)
    naming, redacted = tracking.tracked(reading, name, keys, preset, naming, redacted)
    own_verify = keys.verify if isinstance(keys.verify, VerifyKeys) else None
    token = own_verify.handshake_token if own_verify else None
    source = Source(
        name=name,
        path=keys.path.text if keys.path is not None and is_own else f"/in/{name}",
        preset=preset.name,
        verifier=verified,
        bound=bound,
        methods=frozenset(keys.methods or ("POST",)),
        handshakes=asked,
        handshake_tokens=(token,) if token else (),
        reply=preset.reply,
        secret_from=checks.secret_from(reading, keys),
        token_from=checks.token_from(reading, keys) if any(each.token for each in questions) else "",
        naming=naming,
        max_body=keys.max_body,
        kept_headers=preset.kept_headers.union(*(scheme.headers for scheme in verified.schemes)),
        signing_headers=frozenset().union(*(scheme.headers for scheme in verified.schemes)),
        aliases={name: other for scheme in verified.schemes for name, other in scheme.aliases},
        ping=preset.ping if keys.ping is not None else None,
        largest=f"{preset.title} sends up to {preset.largest}" if preset.largest else "",
        door=door,
        dedupe_s=preset.dedupe_s if keys.dedupe is None else keys.dedupe,
        replays_redelivered=keys.redeliver is not None,
        dropped_headers=DROPPED_HEADERS | {name.encode("latin-1") for name in secret_headers},
        dropped_query=SECRET_QUERY | secret_query,
        redaction=replace(redacted, dropped=SECRET_HEADERS | secret_headers, dropped_query=SECRET_QUERY | secret_query),
    )
    return with_samples(reading, name, keys, schemas.with_schema(reading, keys, source), preset)


def _home(keys: SourceKeys, text: str) -> str:
    """Where in the payload a path is that begins with a shortcut; empty for any other."""
    preset = presets.load(keys.preset or "")
    own = {name: [path.text for path in paths] for name, paths in keys.shortcuts.items()}
    try:
        path, naming = split_path(text), preset.naming.extended(own, {})
    except PathRefused:
        return ""
    places = naming.places(path) if path[0] in naming.shortcut_names else ()
    payloads = [{"payload": parse(body)} for body in preset.samples.values() if body[:1] == b"{"]
    shown = (place for payload in payloads for place in places if present(payload, place) is not MISSING)
    return next(map(written_path, (*shown, *places)), "")


def _secret_names(schemes: Sequence[Scheme], questions: Sequence[Handshake]) -> tuple[frozenset[str], frozenset[str]]:
    """The lower-case names of the headers and of the fields of the query that show a secret."""
    named = [each.secret_names for each in questions]
    headers = frozenset(filter(None, (scheme.secret_header for scheme in schemes)))
    query = frozenset(scheme.query.lower() for scheme in schemes if scheme.query)
    return headers.union(*(each for each, _ in named)), query.union(*(each for _, each in named))


def _refuse_secret_names(reading: Reading, name: str, keys: SourceKeys, secret: Collection[str]) -> None:
    """Report what names or identifies events by a field of the query that no event keeps."""
    of_records = keys.track.per if keys.track is not None else ()
    for written in (*(keys.type or ()), *(keys.id or ()), *(of_records or ())):
        if template_problem(written.text):
            # Of track, which is reported with the rest of it.
            continue
        for path in Naming.compile((written.text,), {}).types[0].paths:
            if path[0] == "query" and ".".join(path[1:]).lower() in secret:
                message = f'source "{name}": no event keeps {".".join(path)}, since it may show a secret'
                reading.error(written.node, message, "name another field")


def is_whole(keys: SourceKeys) -> bool:
    """Whether ``split: none`` keeps a request that holds several events as it is."""
    return keys.split is not None and [each.text for each in keys.split] == ["none"]


def _redaction(naming: Naming, keys: SourceKeys | None, schemes: Sequence[Scheme]) -> Redaction:
    """What the file redacts, and a token in the payload: that is a secret in every event."""
    redact = keys.redact if keys is not None else None
    paths = [path.text for path in redact.paths] if redact else []
    tokens = [path for scheme in schemes if scheme.payload for path in _token_paths(scheme.payload, naming)]
    if not paths and not tokens:
        return redaction.NOTHING
    return redaction.of(naming, [*paths, *tokens], is_stored=redact is not None and redact.store)


def _token_paths(path: str, naming: Naming) -> Sequence[str]:
    """Where a token is in the payload of an event: in every element of a list, and in a part of the request if it is split."""
    segments = ["*" if segment.isdigit() else segment for segment in path.split(".")]
    found = [f"payload.{'.'.join(segments)}"]
    for split in naming.split:
        rest = segments[len(split) :]
        if rest and all("*" in (part, own) or part == own for part, own in zip(split, segments, strict=False)):
            found.append(f"payload.{'.'.join(rest)}")
    return found


def _naming(preset: Preset, keys: SourceKeys, values: Mapping[str, object]) -> Naming:
    return preset.naming.renamed(
        None if keys.type is None else [each.text for each in keys.type],
        None if keys.id is None else [each.text for each in keys.id],
        None if keys.split is None else [] if is_whole(keys) else [each.text for each in keys.split],
    ).extended(
        {shortcut: [path.text for path in paths] for shortcut, paths in keys.shortcuts.items()},
        values,
    )


def _verifier(reading: Reading, name: str, keys: SourceKeys, *, learns: bool) -> Verifier | None:
    """Compile the verification of a source; None after a problem was reported. If it ``learns``, it needs no secret yet."""
    schemes = _schemes(reading, name, keys)
    if schemes is None:
        return None
    if schemes == OPEN:
        _check_open(reading, name, keys)
        return Verifier(OPEN)
    if not any(scheme.needs_secret for scheme in schemes):
        _check_keys(reading, name, keys, schemes)
        return Verifier(schemes)
    if keys.secret is None and learns:
        return Verifier(schemes, (), keys.public_url.text if keys.public_url else "")
    if keys.secret is None:
        if not keys.has("secret") and not (isinstance(keys.verify, VerifyKeys) and keys.verify.means("secret")):
            reading.error(
                keys.place,
                f'source "{name}" has no "secret"',
                "write what the sender signs with: one secret, or a list",
            )
        return None
    _advise_algorithm(reading, name, keys)
    url = keys.public_url.text if keys.public_url else ""
    if not url and any(uses(scheme.signature.signed) & {"url", "uri"} for scheme in schemes):
        hint = f"add public_url: https://your-host/in/{name}, exactly as the sender knows it"
        reading.error(
            keys.place, f'source "{name}": the sender signs the address it posts to, which only you know', hint
        )
    return _with_keys(reading, keys, schemes, url)


def _schemes(reading: Reading, name: str, keys: SourceKeys) -> tuple[Scheme, ...] | None:
    blocks = presets.load(keys.preset or "").verify
    own = keys.verify
    if "preset" in keys.written and keys.preset is None:
        return None  # An unknown one is reported: whether anything is missing cannot be said.
    if isinstance(own, Scalar):
        return OPEN
    if own is None and not blocks:
        if not keys.has("preset") and not keys.has("verify"):
            message = f'source "{name}" does not say how its requests are verified'
            hint = "write preset: (gateway sources lists them), or verify: as the sender documents it"
            types = [each.text for each in keys.type or ()]
            if len(types) == 1 and (named := closest(types[0], presets.NAMES, closeness=0.85)):
                reading.error(keys.key_at("type"), message, f"write preset: {named} instead of type: {types[0]}")
            else:
                reading.error(keys.place, message, hint)
        return None
    if own is None and {"none": True} in blocks:
        return OPEN
    written = as_written(own) if isinstance(own, VerifyKeys) else {}
    try:
        return tuple(scheme_of(merged(block, written)) for block in (blocks or ({},)))
    except SchemeRefused as error:
        if not isinstance(own, VerifyKeys):
            reading.error(keys.place, f'verify of source "{name}": {error.message}', error.hint)
        elif not own.was_reported() and not keys.means("verify"):
            reading.error(place_of(own, error.key), f'verify of source "{name}": {error.message}', error.hint)
        return None


def _check_open(reading: Reading, name: str, keys: SourceKeys) -> None:
    place = keys.at("verify")
    reading.warning(
        place,
        f'source "{name}" accepts events from anyone who knows its address',
        "give it a secret if the sender can sign",
    )
    if keys.secret is not None:
        reading.error(keys.key_at("secret"), "verify: none does not use a secret", "remove one of them")


def _check_keys(reading: Reading, name: str, keys: SourceKeys, schemes: Sequence[Scheme]) -> None:
    if keys.secret is not None:
        message = f'source "{name}": a JSON Web Token is checked with the sender\'s keys, not with a secret'
        reading.error(keys.key_at("secret"), message, "remove secret")
    own = keys.verify.jwt if isinstance(keys.verify, VerifyKeys) else None
    if own is not None and own.jwks is not None and not own.jwks.is_stand_in:
        for scheme in schemes:
            if scheme.way == "jwt" and not scheme.jwt.is_fetched and (problem := tokens_problem(scheme.jwt.jwks)):
                hint = "write the address of a JWKS, https://..., or the keys as a JWKS or PEM"
                reading.error(own.jwks.node, f'jwks of source "{name}": {problem}', hint)


def tokens_problem(written: str) -> str:
    """What is wrong with keys in the file; empty: nothing."""
    from gateway.signatures import tokens

    try:
        tokens.keys_of(written.encode())
    except KeyRefused as error:
        return str(error)
    return ""


def _with_keys(reading: Reading, keys: SourceKeys, schemes: tuple[Scheme, ...], url: str) -> Verifier | None:
    assert keys.secret is not None
    made_up = keys.secret.is_demo or reading.no_env
    credentials = []
    for written in keys.secret.values:
        secret = written.secret
        if made_up and not _fits(schemes, Credential(secret)):
            secret = stand_in_for(schemes[0], DEMO_SECRET)
        credential = Credential(secret, until(reading, written.until))
        if not secret.reveal():
            reading.error(written.node, "the secret is empty, so anyone could sign", "set it to the sender's secret")
            return None
        if not _fits(schemes, credential):
            reading.error(written.node, f"the secret is not a valid key: {_why(schemes, credential)}", _remedy(keys))
            return None
        _advise_key(reading, schemes, credential, written)
        credentials.append(credential)
    return Verifier(schemes, tuple(credentials), url)


def _fits(schemes: Sequence[Scheme], credential: Credential) -> bool:
    return _why(schemes, credential) == ""


def _why(schemes: Sequence[Scheme], credential: Credential) -> str:
    try:
        Verifier(tuple(schemes), (credential,))
    except KeyRefused as error:
        prefixes = [scheme.signature.key_prefix for scheme in schemes]
        if len(schemes) > 1 and all(prefixes) and not credential.secret.reveal().startswith(tuple(prefixes)):
            return f"it does not start with {' or '.join(prefixes)}, and is not base64 either"
        return str(error)
    return ""


def _remedy(keys: SourceKeys) -> str:
    where = presets.load(keys.preset or "").secret
    return (
        f"copy it exactly as the sender shows it: {where}"
        if where
        else "copy it exactly as the sender shows it, or correct verify.signature.key"
    )


def advise_secrets(reading: Reading, name: str, keys: SourceKeys) -> None:
    """Warn about secrets that are short enough to be guessed."""
    if keys.secret is None or keys.secret.is_demo or reading.no_env:
        return
    for written in keys.secret.values:
        length = len(written.secret.reveal())
        if length < SHORTEST_GOOD:
            reading.warning(
                written.node,
                f'the secret of source "{name}" has {count(length, "character")}: it can be found out by trying',
                f"use at least {SHORTEST_GOOD} random characters if the sender lets you choose: openssl rand -hex 16",
            )


def _advise_key(reading: Reading, schemes: Sequence[Scheme], credential: Credential, written: Written) -> None:
    text = credential.secret.reveal()
    knobs = schemes[0].signature
    if schemes[0].way != "signature":
        return
    if knobs.key == "text" and text.startswith("whsec_") and schemes[0].id_header:
        reading.warning(
            written.node,
            "a whsec_ secret of this sender is base64, but is used here as text",
            "write key: base64 and key_prefix: whsec_",
        )
    if knobs.key != "text" and knobs.timestamp_field and text.startswith("whsec_"):
        reading.warning(
            written.node, "a whsec_ secret of this sender is plain text, but is decoded here", "write key: text"
        )


def _advise_algorithm(reading: Reading, name: str, keys: SourceKeys) -> None:
    """Warn about SHA-1, except where a preset has it because the vendor offers nothing else."""
    own = keys.verify.signature if isinstance(keys.verify, VerifyKeys) else None
    if own is None or own.algorithm is None or "sha1" not in own.algorithm:
        return
    declared = [block.get("signature", {}) for block in presets.load(keys.preset or "").verify]
    offered = next((each.get("algorithm", "sha256") for each in declared), "")
    if "sha1" in offered:
        return
    hint = f"{keys.preset} signs with {offered}" if offered else "use sha256 if the sender offers it"
    if own.header is not None and own.header.text.lower() == "x-hub-signature":
        hint = "senders of X-Hub-Signature usually send X-Hub-Signature-256 too: use that, with sha256"
    reading.warning(own.at("algorithm"), f'source "{name}" is verified by SHA-1, which is outdated and weak', hint)


def _advise_ids(reading: Reading, name: str, keys: SourceKeys, bound: Bound) -> None:
    """Warn about an id that no signature covers: it identifies nothing."""
    is_body_covered = bound.covers(("payload", "id"))
    hint = "name a field of the signed body, {payload.id}, or remove id" if is_body_covered else "remove id"
    for written in keys.id or ():
        if not Naming.compile((), {}, (written.text,)).bound(bound.covers).ids:
            reading.warning(
                written.node,
                f'source "{name}": its signature does not cover {written.shown}, which is therefore only a label that '
                "search finds; what is signed identifies an event",
                hint,
            )


def until(reading: Reading, written: Words | None) -> float | None:
    if written is None:
        return None
    try:
        found = datetime.fromisoformat(written.text)
    except ValueError:
        reading.error(
            written.node, f'until: "{written.shown}" is not a valid day', "write 2026-12-31, or 2026-12-31T12:00:00Z"
        )
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
