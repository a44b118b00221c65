"""PagerDuty, by its Events API v2: an alert shortened to PagerDuty's limits, its answers in words.

Form, limits and answers: PagerDuty's "Events API v2 Overview" and "Send an alert event" (``summary`` of 1,024 characters,
``dedup_key`` of 255, 512 KB per event; 202 when it is accepted, 400, 429 and 5xx). 120 events per minute and integration
key: its support.
"""

from collections.abc import Iterator
from types import MappingProxyType
from typing import Final

from gateway.destinations import previews
from gateway.destinations.answers import beginning, read_status
from gateway.destinations.chat import cut, field_of, posted
from gateway.destinations.dialects.plain import ALERT, in_alert
from gateway.destinations.escapes import one_line
from gateway.destinations.kind import Kind, Option
from gateway.destinations.previews import Message, Part, said
from gateway.destinations.requests import json_bytes
from gateway.destinations.target import Parts, Target
from gateway.model import HttpRequest, Reply, Retry, Verdict
from gateway.wording import iso_time

LONGEST_SUMMARY: Final = 1_024
LONGEST_KEY: Final = 255
#: Bytes of a whole event as JSON.
LONGEST_EVENT: Final = 512_000
_SEVERITY: Final = "error"
#: Options that are fields of the event itself.
_OPTIONS: Final = ("routing_key", "event_action", "dedup_key")


def build(target: Target, parts: Parts) -> HttpRequest:
    """A POST of the alert, shortened to PagerDuty's limits; BuildError when the content is not an event."""
    return posted(
        target,
        parts,
        "a PagerDuty message",
        lambda text: {"payload": {"summary": text}},
        lambda message: fitted(target, parts, message),
    )


def fitted(target: Target, parts: Parts, message: Message) -> Message:
    """The event with what PagerDuty requires and the message leaves out, within its limits. Total.

    A trigger without a key of its own has the delivery's id: an attempt that is repeated opens no second alert.
    """
    options = target.options
    fit: dict[str, object] = {
        "event_action": "trigger",
        **{key: options[key] for key in _OPTIONS if key in options},
        **message,
    }
    if fit["event_action"] == "trigger":
        fit.setdefault("dedup_key", parts.delivery_id)
        payload = fit.get("payload", {})
        if isinstance(payload, dict):
            known: dict[str, object] = {
                "summary": parts.event.type,
                "source": options.get("source") or parts.event.source,
                "severity": options.get("severity") or _SEVERITY,
                "timestamp": iso_time(parts.event.received_at),
                "class": parts.event.type,
            }
            fit["payload"] = cut(known | payload, {"summary": LONGEST_SUMMARY})
    fit = cut(fit, {"dedup_key": LONGEST_KEY})
    return fit if len(json_bytes(fit)) <= LONGEST_EVENT else _without_details(fit)


def _without_details(event: Message) -> Message:
    payload = event.get("payload")
    if not isinstance(payload, dict):
        return event
    return {**event, "payload": {**payload, "custom_details": {"left out": "the event had more than 512 KB"}}}


def read(target: Target, reply: Reply) -> Verdict:
    """Delivered only when PagerDuty says so; a wrong key says where to find the right one."""
    if 200 <= reply.status < 300 and field_of(reply.body, "status") not in ("success", "Success"):
        return Retry(f"answered {reply.status} without PagerDuty's success{beginning(reply)}")
    return read_status(target, reply, _ABOUT_THE_KEY if reply.status == 400 and b"routing_key" in reply.body else "")


_ABOUT_THE_KEY: Final = (
    "routing_key is not the integration key of a service: copy it from its Integrations tab, Events API v2"
)


def status_of(reply: Reply) -> int:
    """401 for a routing key that PagerDuty does not know."""
    return 401 if reply.status == 400 and b"routing_key" in reply.body else reply.status


def preview(message: Message) -> Iterator[Part]:
    """The summary, and what is known about the alert."""
    payload = message.get("payload")
    payload = payload if isinstance(payload, dict) else {}
    if not (summary := previews.word(payload.get("summary"))):
        return
    yield {"is": "text", "html": said(summary)}
    about = ("severity", "source", "component", "group", "class")
    if known := [(key, said(payload[key])) for key in about if previews.word(payload.get(key))]:
        yield {"is": "facts", "items": known}


PAGERDUTY = Kind(
    name="pagerduty",
    title="PagerDuty",
    needs="``url``: ``https://events.pagerduty.com/v2/enqueue``, and ``routing_key``",
    sends="``text`` as the summary of an alert; a body is your own event: ``event_action``, ``dedup_key``, ``payload``",
    needs_text=True,
    is_path_public=True,
    hosts=("pagerduty.com",),
    is_hosted=True,
    rate="120/min",
    rate_page="https://developer.pagerduty.com/docs/events-api-v2/overview/",
    text_at=("payload", "summary"),
    longest=LONGEST_SUMMARY,
    escape=in_alert,
    fields=ALERT,
    options=MappingProxyType(
        {
            "routing_key": Option(
                about="the integration key of a service, 32 letters and digits: ${PAGERDUTY_KEY}",
                required=True,
                is_secret=True,
                pattern=r"[0-9A-Za-z_-]{8,64}",
            ),
            "event_action": Option(
                about="trigger, acknowledge or resolve; trigger if left out", pattern="trigger|acknowledge|resolve"
            ),
            "dedup_key": Option(
                about='what makes events one alert, up to 255 characters: "{{ attrs.id }}"; each delivery is its own if left out',
                escape=one_line,
            ),
            "severity": Option(
                about="critical, error, warning or info; error if left out", pattern="critical|error|warning|info"
            ),
            "source": Option(about="what the alert is about; the event's source if left out: web-1", escape=one_line),
        }
    ),
    build=build,
    read=read,
    status_of=status_of,
    preview=preview,
    marks=("routing_key", "event_action"),
)
