"""What a delivery is given of earlier answers, before its attempt: it is read from the store, or waited for."""

from collections.abc import Mapping

from gateway import poison, telemetry
from gateway.errors import Poisonous, StoreUnavailable
from gateway.event.payload import payload_of
from gateway.model import Event, Release, Waits
from gateway.process import Gateway
from gateway.routing.memory import Asked, Found, described, recollect
from gateway.store.memory import Learnt, Recalled, Subject
from gateway.store.nouns import Lease, Outcome


async def look(gateway: Gateway, lease: Lease, event: Event, payload: object) -> Found | Outcome:
    """What a delivery recalls now; or the outcome that has it wait, or tried again if the store refuses. Never raises."""
    delivery = lease.delivery
    try:
        poison.check_crashes(delivery)
        with gateway.crash_slot.working_on(delivery.id):
            if payload is None:
                payload = payload_of(event)
            asked = gateway.config.asked(delivery, event, payload)
    except Poisonous:
        # The attempt says so.
        return Found()
    except Exception as error:  # noqa: BLE001  a template's or our own: the attempt ends with it, in one place
        return Found(error=error)
    subjects = [subject for _, subject in asked if subject is not None]
    try:
        recalled = await gateway.store.recall(delivery.id, subjects)
    except StoreUnavailable:
        return Outcome(lease, Release())
    if waits_for := _missing(asked, recalled):
        left_s = max(waits_for.values()) - (recalled.waited_s or 0.0)
        telemetry.log(
            "delivery.waits",
            event_id=delivery.event_id,
            delivery_id=delivery.id,
            route=delivery.route,
            destination=delivery.destination,
            waits_for=sorted({name for name, _ in waits_for}),
            next_s=round(left_s, 3),
        )
        return Outcome(lease, Waits(left_s), learnt=Learnt(waits_for=tuple(waits_for)))
    known = {subject: each.value for subject, each in recalled.known.items()}
    return Found(
        values=recollect(asked, known),
        lines=described(asked, known),
        has_waited=recalled.waited_s is not None,
        payload=payload,
    )


def _missing(asked: Asked, recalled: Recalled) -> Mapping[Subject, float]:
    """What is not remembered and still waited for; how long altogether, seconds."""
    waited_s = recalled.waited_s or 0.0
    return {
        subject: each.wait_s
        for each, subject in asked
        if subject is not None and subject not in recalled.known and each.wait_s > waited_s
    }
