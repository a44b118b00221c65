"""How the slots of one destination are divided among the replicas that may send to it. Pure."""

from collections.abc import Mapping
from typing import Final

from gateway.store.holds import Terms

#: A share is a fraction: what is missing to a whole slot by less than this is an error of rounding.
ROUNDING: Final = 1e-9


def fair_share(replica: int, wanted: Mapping[int, Terms]) -> float:
    """The share that one replica should have, by what each of them has said; all of them add up to 1.

    Replicas that need no more slots than they have keep what they use, and at least one slot, so that a new delivery can
    start; the others divide what is left. If none needs more, or each of them, all have the same.
    """
    equal = 1.0 / len(wanted)
    short = [number for number, terms in wanted.items() if terms.is_short]
    if len(short) in (0, len(wanted)):
        return equal
    kept = {
        number: min(equal, max(1, terms.used) / terms.slots) for number, terms in wanted.items() if not terms.is_short
    }
    return kept[replica] if replica in kept else (1.0 - sum(kept.values())) / len(short)


def whole_slots(slots: int, share: float) -> int:
    """How many slots a share is. Of shares that add up to at most 1, they never add up to more than ``slots``."""
    return int(slots * share + ROUNDING)
