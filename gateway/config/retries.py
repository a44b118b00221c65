"""Compiles ``retry``: what becomes of a delivery that failed."""

from gateway.config.schema.destinations import DefaultsKeys, DestinationKeys
from gateway.config.schema.reading import Reading
from gateway.destinations.retry import Policy


def policy(reading: Reading, keys: DestinationKeys, defaults: DefaultsKeys | None) -> Policy:
    """The schedule of a destination: its own, or else that of ``defaults``, or else the usual one."""
    retry = keys.retry or (defaults.retry if defaults else None)
    if retry is None:
        return Policy()
    if isinstance(retry, Policy):
        return retry
    if retry.first_s > retry.max_s:
        reading.error(retry.place, "retry: first is longer than max", "make max at least as long as first")
    statuses, never = retry.statuses or (), retry.never or ()
    if set(statuses) & set(never):
        hint = "keep it in one of them; never takes precedence over statuses"
        reading.error(retry.key_at("never"), "retry: a status is in both statuses and never", hint)
    return Policy(
        for_s=retry.for_s,
        first_s=retry.first_s,
        max_s=retry.max_s,
        attempts=retry.attempts,
        jitter=retry.jitter,
        statuses=statuses,
        never=never,
        max_age_s=retry.max_age,
    )
