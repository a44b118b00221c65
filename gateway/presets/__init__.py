"""Known senders, as data: one YAML file each, with its documented events in a folder of the same name."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import yaml

from gateway.facts import Naming
from gateway.signatures import Scheme

_FOLDER: Final = resources.files(__name__)

NAMES: Final = tuple(
    sorted(file.name.removesuffix(".yaml") for file in _FOLDER.iterdir() if file.name.endswith(".yaml"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """How one sender's webhooks are verified, named and read."""

    name: str
    title: str
    scheme: Scheme
    naming: Naming
    #: Lower-case names; with verbatim bytes these travel too.
    kept_headers: frozenset[str]
    #: The documented events by type, as the exact bytes of their file.
    samples: Mapping[str, bytes]
    #: The fields of ``attrs`` that always come, by type; of a type that is not named, all of its sample's.
    promised: Mapping[str, frozenset[str]]


@cache
def load(name: str) -> Preset:
    """The preset called ``name``; KeyError if there is none."""
    if name not in NAMES:
        raise KeyError(name)
    declared = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text("utf-8"))
    return Preset(
        name=name,
        title=declared["title"],
        scheme=Scheme(header=declared["verify"]["header"]),
        naming=Naming.compile(declared["type"], declared["shortcuts"]),
        kept_headers=frozenset(declared["headers"]),
        samples={
            file.name.removesuffix(".json"): file.read_bytes()
            for file in sorted((_FOLDER / name).iterdir(), key=lambda file: file.name)
        },
        promised={type_: frozenset(fields) for type_, fields in declared["promised"].items()},
    )
