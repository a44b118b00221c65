"""Whether a request is its sender's; what that takes is fetched first, if it is not at hand."""

from gateway.egress import Egress
from gateway.errors import KeysUnavailable, SignatureRefused, UnknownSource
from gateway.routing.sources import Source
from gateway.signatures import Refused, Request, Verified, Wanted


async def authenticate(source: Source, request: Request, now: float, egress: Egress) -> None:
    """Return if a request is authentic. Raises SignatureRefused or UnknownSource, or KeysUnavailable if nobody can tell."""
    if not source.verifier.is_fetching:
        verdict = source.verifier.verify(request, now)
    else:
        documents = egress.documents
        verdict = source.verifier.verify(request, now, documents=documents.known)
        if isinstance(verdict, Wanted):
            await documents.look(verdict.url, source.door, is_own=verdict.url in source.verifier.addresses)
            verdict = source.verifier.verify(request, now, documents=documents.known)
            if isinstance(verdict, Wanted) and not verdict.is_known:
                raise KeysUnavailable(verdict.reason)
    judge(source, verdict)


def judge(source: Source, verdict: Verified | Refused | Wanted) -> None:
    """Return if a request was verified. Raises SignatureRefused or UnknownSource."""
    if not isinstance(verdict, Verified):
        if source.verifier.takes_path_secret:
            # The same answer as for an unknown path: a wrong secret must not confirm that the path exists.
            raise UnknownSource(f"{source.path}/***: {verdict.reason}")
        raise SignatureRefused(verdict.reason)
