"""How the requests of a destination are signed: its ``sign``, and ``auth.aws``."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from gateway import presets
from gateway.config import checks
from gateway.config.schema.destinations import DestinationKeys
from gateway.config.schema.keys import place_of
from gateway.config.schema.reading import DEMO_SECRET, Reading
from gateway.config.schema.secrets import Written
from gateway.config.schema.sign import SignKeys
from gateway.config.schema.verify import as_written
from gateway.config.sources import SHORTEST_GOOD, until
from gateway.destinations import KINDS
from gateway.egress import unix
from gateway.routing.destinations import Signs
from gateway.signatures import Credential, KeyRefused, Scheme, stand_in_for, uses
from gateway.signatures.aws import AwsSigner
from gateway.signatures.declared import SchemeRefused, merged, scheme_of
from gateway.signatures.keys import PUBLIC_KEYS, demo_private_key
from gateway.signatures.outgoing import Signer, Way
from gateway.wording import count

_PART_OF_SCOPE: Final = re.compile(r"[A-Za-z0-9-]+")
_STANDARD: Final = "standard-webhooks"
#: What a preset that signs nothing shows, and how a destination shows the same.
_INSTEAD: Final[Mapping[str, str]] = {
    "bearer": 'write auth: {bearer: "${TOKEN}"} instead',
    "basic": 'write auth: {basic: {user: ..., password: "${PASSWORD}"}} instead',
    "url_secret": "write the secret into the url instead",
}
#: Keys that say how a request is checked, by where they are.
_OF_CHECKS: Final = {"signature": ("certificate", "signed_for", "body_hash", "port"), "timestamp": ("tolerance",)}


def signers(reading: Reading, name: str, keys: DestinationKeys, auth: tuple[str, str] | None) -> tuple[Signs, ...]:
    """What signs the requests of a destination, in order; none after a problem was reported."""
    aws = _aws(reading, keys) if keys.auth is not None else None
    logins = dict.fromkeys(aws.headers if aws else (), "auth") | ({auth[0].lower(): "auth"} if auth else {})
    own = _sign(reading, name, keys, keys.sign, logins) if keys.sign is not None else None
    return tuple(each for each in (own, aws) if each is not None)


def _aws(reading: Reading, keys: DestinationKeys) -> AwsSigner | None:
    aws = keys.auth.aws if keys.auth else None
    if aws is None or not (aws.service and aws.region and aws.access_key_id and aws.secret_access_key):
        return None
    if "sign" not in KINDS[keys.type].keys:
        message = f"a destination of type {keys.type} has no use for auth.aws"
        reading.error(aws.place, message, "remove it, or write type: http")
    if keys.url is not None and keys.url.text.startswith(unix.SCHEME):
        message = "auth.aws signs the host of a request, and a Unix socket has none"
        reading.error(aws.place, message, "write https://, or remove aws")
    for text, value in (("service", aws.service.text), ("region", aws.region.text)):
        if not _PART_OF_SCOPE.fullmatch(value):
            hint = "write it as in the address of the endpoint: execute-api, eu-central-1"
            reading.error(aws.at(text), f"auth.aws: this is not the name of a {text}", hint)
    for text, secret in (("access_key_id", aws.access_key_id), ("session_token", aws.session_token)):
        if secret is not None:
            checks.header_value(reading, f"auth.aws.{text}", secret.reveal(), "", aws.at(text))
    return AwsSigner(
        service=aws.service.text,
        region=aws.region.text,
        access_key_id=aws.access_key_id,
        secret_access_key=aws.secret_access_key,
        session_token=aws.session_token,
    )


def _sign(
    reading: Reading, name: str, keys: DestinationKeys, sign: SignKeys, logins: Mapping[str, str]
) -> Signer | None:
    if not {"secret", "key"} & sign.written.keys():
        hint = 'write secret: "${SIGN_SECRET}", which the receiver has, too; or key, the private half of a pair'
        reading.error(sign.place, f'sign of "{name}" has no secret', hint)
        return None
    schemes = () if "preset" in sign.written and sign.preset is None else _schemes(reading, name, sign)
    if not schemes or not _check_schemes(reading, name, sign, schemes, logins):
        return None
    is_socket = keys.url is not None and keys.url.text.startswith(unix.SCHEME)
    if is_socket and any(uses(each.signature.signed) & {"url", "uri"} for each in schemes if each.way == "signature"):
        message = f'sign of "{name}": this scheme signs the address of a request, and a Unix socket has none'
        reading.error(sign.place, message, "sign by another one: leave preset out for Standard Webhooks")
    title = presets.load(sign.preset or _STANDARD).title if sign.preset or "signature" not in sign.written else ""
    ways = [
        _way(reading, name, keys, scheme, written)
        for scheme, written in ((_shared(schemes), sign.secret), (_paired(schemes), sign.private))
        if written
    ]
    found = [each for each in ways if each is not None]
    return Signer(tuple(found), title) if len(found) == len(ways) and found else None


def _shared(schemes: Sequence[Scheme]) -> Scheme | None:
    return next((each for each in schemes if each.way == "signature" and not _is_of_pairs(each)), None)


def _paired(schemes: Sequence[Scheme]) -> Scheme | None:
    return next((each for each in schemes if each.way == "signature" and each.signature.algorithm == "ed25519"), None)


def _is_of_pairs(scheme: Scheme) -> bool:
    return scheme.signature.algorithm in PUBLIC_KEYS or bool(scheme.signature.certificate)


def _schemes(reading: Reading, name: str, sign: SignKeys) -> Sequence[Scheme]:
    """The schemes that ``sign`` names or declares; none after a problem was reported."""
    named = sign.preset or ("" if sign.signature is not None or "signature" in sign.written else _STANDARD)
    own = {
        key: as_written(section)
        for key, section in (("signature", sign.signature), ("timestamp", sign.timestamp), ("id", sign.id))
        if section is not None
    }
    blocks = presets.load(named).verify if named else ({},)
    try:
        return [scheme_of(merged(block, own)) for block in blocks if block != {"none": True}]
    except SchemeRefused as error:
        if error.key.startswith("jwt"):
            _report_asymmetric(reading, name, sign)
        elif not sign.was_reported():
            # A signature that leaves the body out is for senders who know no better.
            hint = error.hint.partition(", or write unsigned_body")[0]
            reading.error(place_of(sign, error.key), f'sign of "{name}": {error.message}', hint)
        return ()


def _check_schemes(
    reading: Reading, name: str, sign: SignKeys, schemes: Sequence[Scheme], logins: Mapping[str, str]
) -> bool:
    """Check that the gateway can sign by them, and that each header has one use; whether both is so."""
    before = len(reading.report.problems)
    if all(each.way != "signature" for each in schemes):
        _report_shown(reading, name, sign, schemes[0])
    elif sign.secret and _shared(schemes) is None and not sign.private:
        _report_asymmetric(reading, name, sign)
    elif sign.secret and _shared(schemes) is None:
        reading.error(
            sign.key_at("secret"), f'sign of "{name}": only a private key signs by this scheme', "remove secret"
        )
    elif sign.private and _shared(schemes) is None and _paired(schemes) is None:
        _report_asymmetric(reading, name, sign)
    elif sign.private and _paired(schemes) is None:
        hint = "write secret instead" + ("" if sign.preset else ", or add algorithm: ed25519 to signature")
        reading.error(sign.key_at("key"), f'sign of "{name}": no private Ed25519 key signs by this scheme', hint)
    else:
        _check_knobs(reading, name, sign)
        _check_end(reading, name, sign)
        for scheme in schemes:
            _check_headers(reading, name, sign, scheme, logins)
    return len(reading.report.problems) == before


def _report_shown(reading: Reading, name: str, sign: SignKeys, scheme: Scheme) -> None:
    if scheme.way in ("jwt", "none"):
        _report_asymmetric(reading, name, sign)
        return
    instead = _INSTEAD.get(scheme.way, "")
    if scheme.way == "token":
        header = f'write auth: {{header: {{name: {scheme.header}, value: "${{TOKEN}}"}}}} instead'
        instead = (
            header if scheme.header else _INSTEAD["url_secret"] if scheme.query else "write it into the body instead"
        )
    message = f'sign of "{name}": {sign.preset} shows its secret and signs nothing'
    reading.error(sign.at("preset"), message, instead)


def _report_asymmetric(reading: Reading, name: str, sign: SignKeys) -> None:
    algorithms = {block.get("signature", {}).get("algorithm") for block in presets.load(sign.preset or "").verify}
    if "ed25519" in algorithms or (sign.signature is not None and sign.signature.algorithm == "ed25519"):
        message = f'sign of "{name}": this scheme has a pair of keys, not a secret'
        reading.error(sign.key_at("secret"), message, "write the private key under key")
        return
    hint = "leave preset out for Standard Webhooks, or choose one with a shared secret, such as github"
    message = f'sign of "{name}": the gateway cannot sign as {sign.preset or "this scheme"} does'
    reading.error(sign.at("preset" if sign.preset else "signature"), message, hint)


def _check_knobs(reading: Reading, name: str, sign: SignKeys) -> None:
    sections = ((sign.signature, _OF_CHECKS["signature"]), (sign.timestamp, _OF_CHECKS["timestamp"]))
    for section, text in ((section, text) for section, texts in sections for text in texts):
        if section is not None and text in section.written:
            message = f'sign of "{name}": "{text}" only affects the verification of requests, not signing'
            reading.error(section.key_at(text), message, "remove it")


def _check_end(reading: Reading, name: str, sign: SignKeys) -> None:
    """Check that something signs for good: nothing is sent unsigned."""
    secrets = (*(sign.secret or ()), *(sign.private or ()))
    if secrets and all(each.until is not None for each in secrets):
        message = f'sign of "{name}": every secret has an until, and nothing could be sent after the last of them'
        reading.error(secrets[-1].node, message, "remove until from the one that stays")


def _check_headers(reading: Reading, name: str, sign: SignKeys, scheme: Scheme, logins: Mapping[str, str]) -> None:
    stamp = scheme.timestamp.header if scheme.timestamp else ""
    used = {"signature": scheme.signature.header, "timestamp": stamp, "id": scheme.id_header}
    for key, header in used.items():
        place = place_of(sign, f"{key}.header") if key in sign.written else sign.at("preset")
        if not header:
            continue
        if list(used.values()).count(header) > 1:
            message = f'sign of "{name}": the header "{header}" has two uses'
            reading.error(place, message, "give the signature, the timestamp and the id a header of their own")
            return
        if key == "id" and header == "webhook-id":
            continue
        checks.header_name(reading, header, place, logins)
    knobs = scheme.signature
    written = f"{knobs.prefix}{knobs.divider}{knobs.field}{knobs.timestamp_field}{knobs.separator}"
    checks.header_value(reading, f'sign of "{name}"', written, written, sign.at("signature"))


def _way(
    reading: Reading, name: str, keys: DestinationKeys, scheme: Scheme | None, written: Sequence[Written]
) -> Way | None:
    """A scheme with its keys; None after a problem was reported."""
    if scheme is None:
        return None
    is_private = _is_of_pairs(scheme)
    if len(written) > 1 and not scheme.signature.has_room:
        hint = "keep one; until the receiver has the new secret, it has to accept both"
        message = (
            f'sign of "{name}": a request has room for one signature of this scheme, so only one secret can be used'
        )
        reading.error(written[1].node, message, hint)
        return None
    found = [_credential(reading, name, keys, scheme, each, is_private=is_private) for each in written]
    credentials = tuple(each for each in found if each is not None)
    if len(credentials) < len(found):
        return None
    return Way(scheme=scheme, credentials=credentials, is_private=is_private)


def _credential(
    reading: Reading, name: str, keys: DestinationKeys, scheme: Scheme, written: Written, *, is_private: bool
) -> Credential | None:
    is_standard = scheme.signature.key_prefix in ("whsec_", "whpk_")
    if is_standard and (misplaced := _misplaced(written.secret.reveal(), is_private=is_private)):
        reading.error(written.node, f'sign of "{name}": {misplaced[0]}', misplaced[1])
        return None
    credential = Credential(written.secret, until(reading, written.until))
    problem = _problem(scheme, credential, is_private=is_private)
    if problem and (keys.is_inbox or reading.no_env):
        return Credential(
            demo_private_key(DEMO_SECRET) if is_private else stand_in_for(scheme, DEMO_SECRET), credential.until
        )
    if problem:
        what = "key" if is_private else "secret"
        reading.error(
            written.node,
            f'sign of "{name}": the {what} is not a valid key: {problem}',
            _remedy(scheme, is_private=is_private),
        )
        return None
    if not (is_private or keys.is_inbox or reading.no_env):
        _advise_length(reading, name, scheme, written)
    return credential


def _misplaced(text: str, *, is_private: bool) -> tuple[str, str] | None:
    """What is wrong with a secret whose beginning says that it is another one, and what to do."""
    if text.startswith("whpk_"):
        return "this is a public key, which verifies and cannot sign", "write the private one, whsk_..., under key"
    if text.startswith("whsk_") and not is_private:
        return "this is a private key, not a secret", "write it under key"
    if text.startswith("whsec_") and is_private:
        return "this is a secret, not a private key", "write it under secret"
    return None


def _problem(scheme: Scheme, credential: Credential, *, is_private: bool) -> str:
    try:
        Signer((Way(scheme=scheme, credentials=(credential,), is_private=is_private),))
    except KeyRefused as error:
        return str(error)
    return ""


def _remedy(scheme: Scheme, *, is_private: bool) -> str:
    if is_private:
        return "make one with openssl genpkey -algorithm ed25519 -out sign.pem, and write key: ${file:sign.pem}"
    return f"copy it as the receiver shows it, or make one: {_maker(scheme)}"


def _maker(scheme: Scheme) -> str:
    """The command that makes a good secret."""
    knobs = scheme.signature
    made = "openssl rand -base64 32" if knobs.key == "base64" else "openssl rand -hex 32"
    return f"echo {knobs.key_prefix}$({made})" if knobs.key_prefix else made


def _advise_length(reading: Reading, name: str, scheme: Scheme, written: Written) -> None:
    knobs = scheme.signature
    length = len(written.secret.reveal().removeprefix(knobs.key_prefix))
    # 24 bytes in base64, as Standard Webhooks demands.
    least = 32 if knobs.key == "base64" else SHORTEST_GOOD
    if length < least:
        message = f'the secret under sign of "{name}" has {count(length, "character")}: anyone who sees one request can find it by trying'
        reading.warning(written.node, message, f"use at least {least} random characters: {_maker(scheme)}")
