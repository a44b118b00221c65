"""Known senders, as data: one YAML file each, with its documented events in a folder of the same name.

The keys of a file; ``title``, ``page``, ``verify`` and ``type`` are required:

- ``title``: the sender's name. ``page``: the vendor's page that the preset follows.
- ``verify``: ``none``, a block as under ``verify:`` of a source in routes.yaml, or a list of blocks, any of which will
  do.
- ``type``: a template such as ``{payload.event}`` or ``{headers.x-event|lower}``, or a list of them, tried in order; a
  text without braces is the type of everything else.
- ``id``: the same for what identifies an event. Without it the hash of the body does.
- ``shortcuts``: ``{attrs: {first: [paths], fill: {field: [paths]}}}``. ``first`` is where the record can be; ``fill``
  adds fields from elsewhere if the record lacks them.
- ``split``: the path or paths of the events in a body that holds several: ``payload.*``.
- ``headers``: the headers that are forwarded with verbatim bytes because the receiver needs them, besides those that
  carry the signature, which always are.
- ``handshake``: a list of questions that the sender asks before it sends events: see ``signatures/handshakes.py``.
- ``any_types``: true if its senders name their events as they like, so that the documented ones are mere examples.
- ``samples``: ``{type: {headers: {name: value}}}``, the headers of a documented event besides its content type.
- ``products``: ``{product: sample}``, for a sender with several products: the sample that people want first of each. The
  title names them.
- ``promised``: ``{type: [fields]}``, the fields of ``attrs`` that are always present; without it, those of the sample.
- ``secret``: where operators find the secret. ``notes``: what else they should know.
- ``variable``: what the secret is called in files that are made for it, if not ``<PRESET>_SECRET``.
- ``dedupe``: how long an event that comes again is the same one, or ``none``, if 30 days would be wrong: a reminder may
  have the same bytes.
- ``reply``: the status that tells the sender "accepted", if it is not 202; or a map of ``status`` and one of ``text``,
  ``json`` and ``xml``, as under ``reply:`` of a source, if the sender would show the gateway's own answer to people.
- ``ping``: a regular expression for the whole body of a request that the sender does not sign, by which it only checks
  the address; answered where a source has ``ping: accept``.
- ``record``: what identifies the record that an event is about, for sources with ``track``: a template such as
  ``{payload.object}:{payload.id}``, or a list of them, tried in order.
- ``summary``: what an event is about, for lists of events: a template of Jinja as under ``summary:`` of a source. Parts
  between `` · `` that are empty are left out.
- ``largest``: the largest body that the sender posts, if that is more than a source accepts by default: ``25MiB``.
- ``renamed``: types that an older release gave, and the patterns to write instead, one or a list: ``{messages: messages.*}``;
  one may end in ``*``, which then stands for the same in the patterns.

A documented event is ``<preset>/<type>.json``, ``.form``, ``.xml`` or ``.txt``, exactly as the vendor's page shows it.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Final

import yaml
from msgspec import Struct

from gateway.event.naming import Naming
from gateway.signatures.handshakes import Handshake
from gateway.wording import folded, is_duration, seconds, suggest, suggest_or_list

_FOLDER: Final = resources.files(__name__)

#: The preset of the gateway's own events; no sender can send these.
OWN: Final = "gateway"
NAMES: Final = tuple(
    sorted({file.name.removesuffix(".yaml") for file in _FOLDER.iterdir() if file.name.endswith(".yaml")} - {OWN})
)

#: By the suffix of a sample's file.
CONTENT_TYPES: Final = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "xml": "application/xml",
    "txt": "text/plain",
}

_REQUIRED: Final = ("title", "page", "verify", "type")
_KEYS: Final = (
    *(*_REQUIRED, "id", "shortcuts", "split", "headers", "handshake", "any_types", "samples", "promised"),
    *("secret", "variable", "notes", "reply", "dedupe", "renamed", "ping", "largest", "summary", "record", "products"),
)


class PresetRefused(ValueError):
    """A preset's file lacks a key, or has one that nothing reads; the message says which."""


class Preset(Struct, frozen=True, kw_only=True):
    """How one sender's webhooks are verified, named and read."""

    name: str
    title: str
    #: The vendor's page that this follows.
    page: str
    #: Blocks as they are written under ``verify:``; any of them will do.
    verify: Sequence[Mapping[str, Any]]
    naming: Naming
    handshakes: tuple[Handshake, ...]
    #: Lower-case names; with verbatim bytes these travel too.
    kept_headers: frozenset[str]
    #: The documented events by type, as the exact bytes of their file.
    samples: Mapping[str, bytes]
    #: The headers of a sample, by type.
    sample_headers: Mapping[str, Mapping[str, str]]
    #: Whether its senders name their events as they like: the documented ones are mere examples.
    any_types: bool
    #: The fields of ``attrs`` that are always present, by type; for a type not named here, all fields of its sample.
    promised: Mapping[str, frozenset[str]]
    #: Where operators find the secret.
    secret: str
    #: The variable of the secret in files that are made for its source.
    variable: str
    notes: str
    #: How long the key of an event is remembered, seconds; 0: not at all.
    dedupe_s: float
    #: The status that tells the sender "accepted".
    reply: int
    #: The kind of the whole answer (text, json or xml), and the answer; None: the gateway's own.
    answer: tuple[str, Any] | None
    #: What the whole body of an unsigned request that only checks the address looks like; None: there is none.
    ping: re.Pattern[bytes] | None
    #: The largest body that the sender posts: ``25MiB``; empty: not known to be large.
    largest: str
    #: Types of an older release, and the patterns to match instead.
    renamed: Mapping[str, tuple[str, ...]]
    #: A template that says what an event is about; empty: the usual fields do.
    summary: str
    #: What identifies the record that an event is about, tried in order; empty: that is not known.
    record: tuple[str, ...]
    #: Of each of several products, the sample that is wanted first.
    products: Mapping[str, str]


@cache
def load(name: str) -> Preset:
    """The preset called ``name``; an empty one for "". Raises KeyError for an unknown name, or PresetRefused."""
    if not name:
        return _NONE
    if name not in NAMES and name != OWN:
        raise KeyError(name)
    declared = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text("utf-8"))
    return compiled(name, declared, _samples(name))


def sender(name: str) -> str:
    """The sender in a sentence: ``Meta``; empty for a preset of any sender, and without one."""
    title = load(name).title.partition(" (")[0]
    return "" if title.startswith("Any sender") else title


def meant(name: str) -> str:
    """``did you mean "meta"?`` for a name that no preset has, by their names and titles; empty if none is like it."""
    if near := suggest(name, NAMES, closeness=0.8):
        return near
    word = folded(name)
    titled = [each for each in NAMES if len(word) > 2 and word in folded(load(each).title)]
    listed = " or ".join(f'"{each}"' for each in titled)
    return f"did you mean {listed}?" if 0 < len(titled) <= 4 else suggest(name, NAMES)


def spelled(name: str) -> str:
    """The preset of a name in any spelling; empty if there is none."""
    return next((each for each in NAMES if folded(each) == folded(name)), "")


def by_product(name: str) -> tuple[str, str]:
    """The preset that has this product, and the sample that is wanted first of it; both empty if none has it."""
    found = ((each, product, sample) for each in NAMES for product, sample in load(each).products.items())
    return next(((each, sample) for each, product, sample in found if folded(product) == folded(name)), ("", ""))


def compiled(name: str, declared: Mapping[str, Any], samples: Mapping[str, tuple[bytes, str]]) -> Preset:
    """A preset from the content of its file, and from body and suffix of each sample by type. Raises PresetRefused."""
    _refuse_unread(name, declared, samples)
    blocks = declared["verify"] if isinstance(declared["verify"], list) else [declared["verify"]]
    return Preset(
        name=name,
        title=declared["title"],
        page=declared["page"],
        verify=tuple(_plain(block) for block in blocks),
        naming=Naming.compile(
            _listed(declared["type"]),
            declared.get("shortcuts", {}),
            _listed(declared.get("id", ())),
            _listed(declared.get("split", ())),
        ),
        handshakes=tuple(Handshake.compile(each) for each in declared.get("handshake", ())),
        kept_headers=frozenset(
            name.lower()
            for names in (_listed(declared.get("headers", ())), *map(_of_signature, blocks))
            for name in names
        ),
        samples={type_: body for type_, (body, _) in samples.items()},
        sample_headers={
            type_: {"content-type": CONTENT_TYPES[suffix], **_headers(declared, type_)}
            for type_, (_, suffix) in samples.items()
        },
        any_types=declared.get("any_types", False),
        promised={type_: frozenset(fields) for type_, fields in declared.get("promised", {}).items()},
        secret=declared.get("secret", ""),
        variable=declared.get("variable") or re.sub(r"[^A-Z0-9]+", "_", name.upper()) + "_SECRET",
        notes=declared.get("notes", ""),
        dedupe_s=_dedupe_s(name, str(declared.get("dedupe", "30d"))),
        reply=_reply(declared).get("status", 202),
        answer=next(((kind, said) for kind, said in _reply(declared).items() if kind != "status"), None),
        ping=re.compile(declared["ping"].encode()) if "ping" in declared else None,
        largest=declared.get("largest", ""),
        renamed={old: tuple(_listed(new)) for old, new in declared.get("renamed", {}).items()},
        summary=declared.get("summary", ""),
        record=tuple(_listed(declared.get("record", ()))),
        products=declared.get("products", {}),
    )


def _refuse_unread(name: str, declared: Mapping[str, Any], samples: Collection[str]) -> None:
    """Refuse a missing key, and any that nothing would read. ``samples`` are the types of the documented events."""
    _refuse_others(f"{name}.yaml", declared, _KEYS)
    if lacking := [key for key in _REQUIRED if key not in declared]:
        raise PresetRefused(f"{name}.yaml lacks {', '.join(lacking)}")
    for shortcut, inner in declared.get("shortcuts", {}).items():
        _refuse_others(f"shortcuts.{shortcut} of {name}.yaml", inner, ("first", "fill"))
    for key in ("samples", "promised"):
        _refuse_others(f"{key} of {name}.yaml", declared.get(key, {}), samples)
    _refuse_others(f"products of {name}.yaml", dict.fromkeys(declared.get("products", {}).values()), samples)
    _refuse_others(f"reply of {name}.yaml", _reply(declared), ("status", "text", "json", "xml"))
    for type_, inner in declared.get("samples", {}).items():
        _refuse_others(f"samples.{type_} of {name}.yaml", inner, ("headers",))


def _refuse_others(place: str, written: Mapping[str, Any], known: Collection[str]) -> None:
    for key in written:
        if key not in known:
            raise PresetRefused(f'unknown key "{key}" in {place}  ({suggest_or_list(key, known)})')


def _samples(name: str) -> Mapping[str, tuple[bytes, str]]:
    """Body and suffix by type. The type is the file's path in the preset's folder without its suffix."""
    found = {}
    for path, file in _files(_FOLDER / name, ""):
        type_, _, suffix = path.rpartition(".")
        if suffix not in CONTENT_TYPES:
            raise PresetRefused(f"{name}/{path}: a documented event ends in .{', .'.join(CONTENT_TYPES)}")
        found[type_] = (file.read_bytes(), suffix)
    return dict(sorted(found.items()))


def _files(folder: Traversable, path: str) -> Iterator[tuple[str, Traversable]]:
    if folder.is_file():
        yield path, folder
    elif folder.is_dir():
        for each in folder.iterdir():
            yield from _files(each, f"{path}/{each.name}" if path else each.name)


def _headers(declared: Mapping[str, Any], type_: str) -> Mapping[str, str]:
    written = (declared.get("samples") or {}).get(type_, {}).get("headers", {})
    return {name.lower(): str(value) for name, value in written.items()}


def _listed(written: str | Sequence[str]) -> Sequence[str]:
    """One text, or a list of texts."""
    return [written] if isinstance(written, str) else written


def _of_signature(block: Any) -> Iterator[str]:
    """The headers that a block of ``verify`` reads, but for those that show a secret."""
    if not isinstance(block, Mapping):
        return
    certificate = block.get("signature", {}).get("certificate", {})
    named = [certificate, *(block.get(key, {}) for key in ("signature", "timestamp", "id"))]
    if "body_hash" in block.get("jwt", {}):
        named.append(block["jwt"])
    yield from (each["header"] for each in named if "header" in each)
    yield from block.get("aliases", {}).values()


def _reply(declared: Mapping[str, Any]) -> Mapping[str, Any]:
    written = declared.get("reply", 202)
    return {"status": written} if isinstance(written, int) else written


def _dedupe_s(name: str, written: str) -> float:
    if written == "none":
        return 0.0
    if not is_duration(written):
        raise PresetRefused(f'dedupe of {name}.yaml: "{written}" is not a duration: write 10m, or none')
    return seconds(written)


def _plain(block: Any) -> Mapping[str, Any]:
    """A block with its tolerance in seconds; ``none`` becomes a block as well."""
    if block == "none":
        return {"none": True}
    assert isinstance(block, dict)
    stamp = block.get("timestamp")
    if stamp and "tolerance" in stamp:
        if not is_duration(str(stamp["tolerance"])):
            raise PresetRefused(f'tolerance: "{stamp["tolerance"]}" is not a duration: write 5m')
        rest = {key: value for key, value in stamp.items() if key != "tolerance"}
        return {**block, "timestamp": {**rest, "tolerance_s": seconds(str(stamp["tolerance"]))}}
    return block


_NONE: Final = Preset(
    name="",
    title="",
    page="",
    verify=(),
    naming=Naming.compile((), {}),
    handshakes=(),
    kept_headers=frozenset(),
    samples={},
    sample_headers={},
    any_types=True,
    promised={},
    secret="",
    variable="",
    notes="",
    dedupe_s=30 * 86400.0,
    reply=202,
    answer=None,
    ping=None,
    largest="",
    renamed={},
    summary="",
    record=(),
    products={},
)
