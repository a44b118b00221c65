"""Who is notified of a delivery that is dead."""

from contextlib import suppress

from gateway.errors import Unparsable
from gateway.event import payload as facts
from gateway.model import Attempt, Dead, Delivery, Event, Notice
from gateway.presets import OWN
from gateway.routing import Config
from gateway.store.nouns import Told


def of(delivery: Delivery, event: Event, config: Config, result: Dead, attempt: Attempt) -> Told | None:
    """The notices to make of a dead delivery; of a notice there are none."""
    if is_notice(delivery, event):
        return None
    notice = Notice(
        id=delivery.id,
        destination=delivery.destination,
        route=delivery.route,
        attempts=attempt.number,
        reason=result.reason,
        status=attempt.status,
    )
    with suppress(Unparsable):
        if routes := config.tell(notice, event, facts.payload_of(event)):
            return Told(notice, routes)
    return None


def is_notice(delivery: Delivery, event: Event) -> bool:
    """Whether it is about a dead delivery, or about the gateway itself."""
    return delivery.notice is not None or event.source == OWN
