"""Requests that were refused, for people: what to do about each, and which of them somebody means. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from gateway import presets
from gateway.operate import views
from gateway.routing import Config, Source
from gateway.routing.questions import WRONG_PROOF
from gateway.store.queries import Rejected
from gateway.store.rules import REJECTED_KEPT

#: The most that are looked at: those that are kept of a few sources.
MOST: Final = 4 * REJECTED_KEPT


class Which(Struct, frozen=True, kw_only=True):
    """Which refused requests somebody means; an empty field does not narrow."""

    source: str = ""
    #: The beginning of the address they came from.
    client: str = ""
    #: A part of the reason, ignoring case.
    reason: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.source or self.client or self.reason)


def meant(rows: Iterable[Rejected], which: Which) -> Sequence[Rejected]:
    """Those that are meant, in the same order."""
    wanted = which.reason.lower()
    return [
        each
        for each in rows
        if which.source in ("", each.source)
        and each.client.startswith(which.client)
        and wanted in f"{each.status} {each.reason}".lower()
    ]


def document(config: Config, row: Rejected) -> dict[str, Any]:
    """A refused request as ``views`` shows it, with ``hint``: what to do."""
    return {**views.rejected(row), "hint": hint(config, row)}


def hint(config: Config, row: Rejected) -> str:
    """What to do about it; names where a secret comes from, never its value. Empty for a duplicate."""
    source = config.sources.get(row.source)
    if row.status == 401 and source is not None:
        title = presets.load(source.preset).title if source.preset else source.name
        if row.reason == WRONG_PROOF:
            return _of_token(title, source)
        return _of_signature(row.reason, title, source)
    if row.status == 404:
        known = ", ".join(each.path for each in list(config.sources.values())[:5]) or "none yet"
        return f"Correct the address at the sender; the sources listen at {known}."
    return _BY_STATUS.get(row.status, "")


def _of_token(title: str, source: Source) -> str:
    """What to do about a handshake whose token is wrong; it is another secret than the one that signs."""
    where = source.token_from or "routes.yaml"
    if source.handshake_tokens:
        return (
            f"The verify token entered at {title} differs from the one under verify: {{handshake_token: ...}} of the "
            f"source: make them the same. The one here comes from {where}."
        )
    return (
        f"Without verify: {{handshake_token: ...}}, the verify token entered at {title} has to be the source's secret: "
        f"set handshake_token to the token that was entered there. The secret comes from {where}."
    )


def _of_signature(reason: str, title: str, source: Source) -> str:
    advice = next((words for cause, words in _SIGNATURES if cause.search(reason)), _OTHER_SIGNATURE)
    form = f"the one that {title} writes" if source.preset else "what verify of the source says"
    return advice.format(title=title, secret=source.secret_from or "routes.yaml", form=form)


#: What to check first, by what the reason of a refused signature says.
_SIGNATURES: Final = (
    (
        re.compile(r" does not match the secret "),
        "Its secret at {title} differs from the one here: compare them. The one here comes from {secret}.",
    ),
    (
        re.compile(r" does not match "),
        (
            "Its secret at {title} differs from the one here, or the body is changed on the way: compare the secrets. "
            "The one here comes from {secret}."
        ),
    ),
    (
        re.compile(r" has (a|no) signature"),
        (
            "The signature is there, but its form differs from {form}: another program signed the request, or the "
            "signature is changed on the way."
        ),
    ),
    (
        re.compile(r"\bno \S+ header"),
        "It is not signed: no secret is set at {title}, a proxy removes the header, or it came from somebody else.",
    ),
    (
        re.compile(r"the timestamp is \d+ s old"),
        "It was signed too long ago: it was delayed on the way, was captured and repeated, or a clock is wrong.",
    ),
    (
        re.compile(r"the timestamp is \d+ s in the future"),
        "It was signed later than now: the clock of {title} is ahead, or the clock of this machine is behind.",
    ),
    (
        re.compile(r"the timestamp .* not in "),
        "Name the unit in which {title} writes it: verify: {{timestamp: {{unit: ms}}}}; known: s, ms, iso, http.",
    ),
    (
        re.compile(r"is not a handshake"),
        "It is neither an event nor a handshake: if somebody opened the address in a browser, there is nothing to do.",
    ),
    (
        re.compile(r"no secret is valid any more"),
        "Every secret here is past its until: add the one that {title} uses now. Those here come from {secret}.",
    ),
)
_OTHER_SIGNATURE: Final = "Check with `gateway verify` how {title} signs. The secret here comes from {secret}."
_BY_STATUS: Final[Mapping[int, str]] = {
    400: "It is signed, but its body cannot be read: compare its content type with what it sends.",
    405: (
        "Let the sender use POST, or name its method under methods: of the source. If somebody opened the address in a "
        "browser, there is nothing to do."
    ),
    408: "The sender is too slow: check the network between it and this machine.",
    413: "Raise max_body of the source, or let the sender send less.",
    415: "Let the sender send without this content encoding, or with gzip.",
    429: "Too many requests came from there at the same time.",
    431: "Its headers are too large: check what a proxy adds.",
    503: "Nothing was lost if the sender repeats it: see why the store could not accept it in the log and at /readyz.",
}
