"""How long events and deliveries are kept: ``retention``, and retries that would outlast it."""

import math
from collections.abc import Mapping
from typing import Final

from gateway.config.schema.destinations import DefaultsKeys, DestinationKeys
from gateway.config.schema.file import RetentionKeys
from gateway.config.schema.reading import Reading
from gateway.destinations.retry import Policy, longest_s
from gateway.errors import Place
from gateway.store.nouns import Retention
from gateway.wording import duration

_USUAL: Final = Retention()


def retention(reading: Reading, keys: RetentionKeys | None) -> Retention:
    """The retention as written, with matching defaults for the rest."""
    if keys is None:
        return _USUAL
    events_s = keys.events or _USUAL.events_s
    found = Retention(
        events_s=events_s,
        bodies_s=math.inf if keys.bodies is None else keys.bodies,
        attempts_s=keys.attempts or min(_USUAL.attempts_s, events_s),
        dead_s=keys.dead or max(_USUAL.dead_s, events_s),
    )
    for key, kept_s in (("bodies", keys.bodies), ("attempts", keys.attempts)):
        if kept_s is not None and kept_s > events_s:
            message = (
                f"retention: {key} are kept for {duration(kept_s)}, but their events only for {duration(events_s)}"
            )
            reading.error(
                keys.at(key), message, f"they are removed with their events: make events longer, or {key} shorter"
            )
    if found.dead_s < events_s:
        message = f"retention: dead is {duration(found.dead_s)}, but all events are kept for {duration(events_s)}"
        reading.error(keys.at("dead"), message, "make dead at least as long as events")
    return found


def check_retries(
    reading: Reading,
    kept: Retention,
    written: Mapping[str, tuple[DestinationKeys, Policy]],
    defaults: DefaultsKeys | None,
    fallback: Place,
) -> None:
    """Refuse retries that go on for longer than events are kept; ``fallback`` is the place of retention."""
    policies: dict[Place, tuple[str, Policy]] = {}
    for name, (keys, policy) in written.items():
        owner = next((each for each in (keys, defaults) if each is not None and "retry" in each.written), None)
        # One problem is enough for all that use the defaults.
        policies.setdefault(owner.at("retry") if owner else fallback, (name, policy))
    for place, (name, policy) in policies.items():
        if what := _outlives(policy, kept.events_s):
            message = (
                f'deliveries to "{name}" are retried {what}, but events are only kept for {duration(kept.events_s)}'
            )
            reading.error(place, message, "make retention.events longer, or retry shorter")


def _outlives(policy: Policy, events_s: float) -> str:
    if longest_s(policy) > events_s:
        return f"for {duration(longest_s(policy))}"
    if policy.max_age_s is not None and policy.max_age_s > events_s:
        return f"until the event is {duration(policy.max_age_s)} old"
    return ""
