"""The schemes of a source with the operator's secrets: pure and total."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from gateway.signatures.checks import Check
from gateway.signatures.credentials import Credential
from gateway.signatures.request import NO_DOCUMENTS, Awaits, Request, Stop
from gateway.signatures.schemes import Scheme
from gateway.signatures.signing import CannotSign, Signed, signed


class Verified(Struct, frozen=True):
    """Whoever made the request has one of the secrets."""


class Refused(Struct, frozen=True):
    """Not authentic, and why. The reason is for our log only."""

    reason: str


class Wanted(Struct, frozen=True):
    """No verdict yet: it takes the keys or the certificate at an address, or newer ones than those at hand."""

    url: str
    #: Why it is refused if there are none. For our log only.
    reason: str
    #: Whether those at hand can be used, so that the request is refused unless newer ones say otherwise.
    is_known: bool


VERIFIED: Final = Verified()


@dataclass(frozen=True, slots=True)
class Verifier:
    """The schemes of a source, any one of which suffices, with its secrets. Raises KeyRefused for a secret that is not a key."""

    #: Not hashed: they are maps within maps, and few verifiers have the same credentials.
    schemes: tuple[Scheme, ...] = field(hash=False)
    credentials: tuple[Credential, ...] = ()
    #: The source's address as the sender has it, for schemes that sign it.
    public_url: str = ""
    #: Whether a verdict may depend on something that is fetched.
    is_fetching: bool = field(init=False, repr=False, compare=False)
    #: Whether anyone may post: ``verify: none``.
    is_open: bool = field(init=False, repr=False, compare=False)
    #: Whether a body has to be decompressed before it can be verified.
    reads_content: bool = field(init=False, repr=False, compare=False)
    #: Whether a secret may follow the source's own path.
    takes_path_secret: bool = field(init=False, repr=False, compare=False)
    _checks: tuple[Check, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        checks = tuple(Check.of(scheme, self._of(scheme), self.public_url) for scheme in self.schemes)
        object.__setattr__(self, "_checks", checks)
        # Asked with every request.
        object.__setattr__(self, "is_fetching", any(scheme.is_fetching for scheme in self.schemes))
        object.__setattr__(self, "is_open", any(scheme.way == "none" for scheme in self.schemes))
        object.__setattr__(self, "reads_content", any(scheme.reads_content for scheme in self.schemes))
        object.__setattr__(self, "takes_path_secret", any(scheme.way == "url_secret" for scheme in self.schemes))

    def _of(self, scheme: Scheme) -> Sequence[Credential]:
        """The secrets of a scheme: of several schemes, each has those with its own prefix, and the first one the rest."""
        if len(self.schemes) == 1 or not scheme.signature.key_prefix:
            return self.credentials
        return [each for each in self.credentials if scheme in self._schemes_of(each)]

    def _schemes_of(self, credential: Credential) -> Sequence[Scheme]:
        knobs = [(scheme, scheme.signature.prefix, scheme.signature.key_prefix) for scheme in self.schemes]
        text = credential.secret.reveal()
        own = [scheme for scheme, prefix, begin in knobs if text.removeprefix(prefix).startswith(begin)]
        return own or self.schemes[:1]

    @property
    def is_in_address(self) -> bool:
        """Whether the secret comes with the address, and so with every request."""
        return all(scheme.is_in_address for scheme in self.schemes)

    @property
    def addresses(self) -> frozenset[str]:
        """Where the keys are that are fetched ahead."""
        return frozenset(scheme.jwt.jwks for scheme in self.schemes if scheme.way == "jwt" and scheme.jwt.is_fetched)

    def verify(
        self,
        request: Request,
        now: float,
        steps: list[str] | None = None,
        documents: Mapping[str, bytes] = NO_DOCUMENTS,
    ) -> Verified | Refused | Wanted:
        """Whether one of the schemes accepts the request; ``now`` is the wall clock.

        ``steps`` receives what was checked, in words. ``documents`` are the keys and certificates at hand, by address.
        """
        reasons, wanted = [], None
        for check in self._checks:
            for reading in check.readings(request, steps, documents):
                try:
                    check.verify(reading, now)
                except Stop as stop:
                    reasons.append(str(stop))
                except Awaits as awaits:
                    wanted = Wanted(awaits.url, awaits.reason, awaits.is_known)
                else:
                    return VERIFIED
        if wanted is not None:
            return wanted
        return Refused("; ".join(dict.fromkeys(reasons)) or "no scheme is configured")

    def sign(self, request: Request, now: float, message_id: str) -> Signed:
        """Make what ``verify`` accepts, by the first secret that is still valid. Raises CannotSign."""
        for check in self._checks:
            if check.keys or check.scheme.way == "none":
                try:
                    return signed(check, request, now, message_id)
                except Stop as stop:
                    raise CannotSign(str(stop)) from None
        raise CannotSign("none of the source's secrets fits its scheme")
