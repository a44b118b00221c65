"""The handshakes of a source, from its preset or from the file."""

from collections.abc import Sequence

from gateway import presets
from gateway.config.schema.handshakes import HandshakeKeys
from gateway.config.schema.keys import Section, keys_of
from gateway.config.schema.reading import Reading
from gateway.config.schema.sources import SourceKeys
from gateway.config.schema.verify import VerifyKeys, as_written
from gateway.errors import Place
from gateway.signatures import Verifier
from gateway.signatures.declared import SchemeRefused, scheme_of
from gateway.signatures.handshakes import Handshake, HandshakeRefused


def declared(reading: Reading, name: str, keys: SourceKeys) -> Sequence[Handshake]:
    """The questions that the sender may ask: those of the file instead of the preset's."""
    if keys.handshake is None:
        return presets.load(keys.preset or "").handshakes
    found = (_compiled(reading, f'handshake of source "{name}"', each) for each in keys.handshake)
    return tuple(each for each in found if each is not None)


def verified(
    reading: Reading, name: str, keys: SourceKeys, handshakes: Sequence[Handshake], verifier: Verifier
) -> tuple[tuple[Handshake, Verifier | None], ...]:
    """Each question with what verifies it besides the request itself."""
    own = keys.verify if isinstance(keys.verify, VerifyKeys) else None
    has_token = bool(verifier.credentials) or (own is not None and own.handshake_token is not None)
    if keys.handshake and not has_token and any(each.proof in ("token", "block") for each in handshakes):
        message = f'a handshake of source "{name}" has to show a token, and the source has none'
        reading.error(keys.at("handshake"), message, "add secret:, or verify: {handshake_token: ...}")
    for each in handshakes if keys.handshake else ():
        if each.method in (keys.methods or ("POST",)) and not each.when and not each.value:
            message = f'handshake of source "{name}": every {each.method} would be taken for this {each.kind}, and no event stored'
            reading.error(
                keys.at("handshake"), message, "say what distinguishes it from an event: when: {payload.type: ping}"
            )
    return tuple(
        (each, None if each.verify is None else Verifier((scheme_of(each.verify),), verifier.credentials))
        for each in handshakes
    )


def _compiled(reading: Reading, called: str, keys: HandshakeKeys) -> Handshake | None:
    """One of the file; None after a problem was reported."""
    section = next((found for kind in keys.written if isinstance(found := getattr(keys, kind, None), Section)), None)
    if len(keys.written) == 1 and (section is None or _lacks_a_key(section)):
        # Reported where it was read.
        return None
    try:
        handshake = Handshake.compile(
            {kind: as_written(getattr(keys, kind)) for kind in keys.written if getattr(keys, kind, None)}
        )
        if handshake.verify is not None and scheme_of(handshake.verify).is_fetching:
            message = f"{called}: a handshake is not verified with keys that have to be fetched"
            reading.error(
                _place(keys, section, "verify"), message, "write the keys themselves, or another way to verify"
            )
    except HandshakeRefused as error:
        reading.error(_place(keys, section, error.key), f"{called}: {error.message}", error.hint)
        return None
    except SchemeRefused as error:
        reading.error(_place(keys, section, "verify"), f"{called}: {error.message}", error.hint)
        return None
    return handshake


def _lacks_a_key(section: Section) -> bool:
    return any(key.required and text not in section.written for text, (_, key) in keys_of(type(section)).items())


def _place(keys: HandshakeKeys, section: Section | None, key: str) -> Place:
    return section.at(key) if section is not None and key in section.written else keys.place
