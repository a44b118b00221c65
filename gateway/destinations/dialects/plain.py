"""Texts without markup, for what notifies people: a value that has lines of its own keeps them.

Fields: PagerDuty's page "Send an alert event", Twilio's "Messages resource".
"""

from typing import Final

from gateway.destinations.escapes import one_line
from gateway.destinations.fields import Fields, table
from gateway.destinations.markup import Dialect, data

PLAIN: Final = Dialect(
    escape=one_line,
    link=lambda address, label: label if address in label else f"{label} ({address})",
    bold=lambda text: text,
)


def in_alert(text: str) -> str:
    r"""``text`` as text of an alert of PagerDuty on one line.

    >>> in_alert("Ann\nDoe")
    'Ann Doe'
    """
    return one_line(text)


def in_sms(text: str) -> str:
    r"""``text`` as text of a text message on one line.

    >>> in_sms("Ann\nDoe")
    'Ann Doe'
    """
    return one_line(text)


ALERT: Final = Fields(
    page="https://developer.pagerduty.com/docs/events-api-v2/trigger-events/",
    text=PLAIN,
    known=table(
        addresses="href src client_url",
        names="client component group source alt",
        plain="routing_key dedup_key event_action severity timestamp class",
    ),
    below={"custom_details": data},
)
SMS: Final = Fields(
    page="https://www.twilio.com/docs/messaging/api/message-resource",
    text=PLAIN,
    known=table(
        addresses="MediaUrl StatusCallback",
        plain="To From MessagingServiceSid ContentSid ContentVariables ValidityPeriod SendAt",
    ),
)
