"""Twilio's Programmable Messaging: a text message shortened to Twilio's limit, its answers in words.

Form, limit and answers: Twilio's pages "Messages resource" (``To``, ``From`` or ``MessagingServiceSid``, ``Body`` of 1,600
characters; 201 with the message, else ``{"code", "message", "status"}``) and "Error and Warning Dictionary". One message per
second from a long code, which Twilio queues: "Understanding Twilio Rate Limits and Message Queues".
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import urlencode

from gateway.destinations import previews
from gateway.destinations.answers import read_status
from gateway.destinations.chat import message_of, remedy, shortened
from gateway.destinations.dialects.plain import SMS, in_sms
from gateway.destinations.kind import Kind, Option
from gateway.destinations.previews import Message, Part
from gateway.destinations.requests import http_request, json_bytes
from gateway.destinations.target import Parts, Target
from gateway.errors import BuildError
from gateway.model import HttpRequest, Reply, Verdict

LONGEST_TEXT: Final = 1_600
#: Parts of the longest list of one field, such as MediaUrl.
MOST_ITEMS: Final = 10
_SERVICE: Final = re.compile(r"MG[0-9a-fA-F]{32}")
#: A phone number (E.164), on a channel of its own if it names one.
_NUMBER: Final = r"(?:[a-z]+:)?\+[1-9][0-9]{6,14}"

#: Twilio's numbers for what it refuses, and what to do about each.
REFUSALS: Final[Mapping[int, str]] = MappingProxyType(
    {
        20003: "Twilio does not accept the login: user is the account's SID or an API key, password its token or secret",
        20404: "there is no such account: correct the SID in url",
        21211: "to is not a phone number: write it as +14155551234",
        21212: "from is not a number of this account: correct it",
        21408: "messages to this country are not allowed: enable it under Geo permissions",
        21602: "the message is empty: write a text",
        21606: "from cannot send text messages: choose a number that can",
        21608: "a trial account sends to verified numbers only: verify it, or upgrade",
        21610: "the person has unsubscribed with STOP: they have to send START",
        21614: "to cannot receive text messages: it is not a mobile number",
        21617: "the message is too long: send less",
        21659: "from is not a number of this account: correct it",
        21703: "the messaging service has no sender: add a number to it",
    }
)


def build(target: Target, parts: Parts) -> HttpRequest:
    """A POST of the message as a form, shortened to Twilio's limit; BuildError when the content is not a message."""
    message = message_of(parts.content, "a Twilio message", lambda text: {"Body": text})
    body = urlencode(list(_pairs({**_options(target.options), **message}))).encode()
    defaults = {"content-type": "application/x-www-form-urlencoded"}
    return http_request(target, parts, method="POST", url=target.url, body=body, defaults=defaults)


def _options(options: Mapping[str, str]) -> dict[str, object]:
    """``to`` and ``from`` as Twilio calls them. An event can make a number of ``to``, so it is checked here."""
    to, sender = options.get("to", ""), options.get("from", "")
    if re.fullmatch(_NUMBER, to) is None:
        raise BuildError("to is not a phone number: write it as +14155551234")
    return {"To": to, "MessagingServiceSid" if _SERVICE.fullmatch(sender) else "From": sender}


def _pairs(fields: Message) -> Iterator[tuple[str, str]]:
    """The fields of the form, with the text shortened to Twilio's limit. A form has no null: such a field is left out."""
    for name, value in fields.items():
        for each in value[:MOST_ITEMS] if isinstance(value, list) else [value]:
            if each is not None:
                yield name, shortened(_text(each), LONGEST_TEXT) if name == "Body" else _text(each)


def _text(value: object) -> str:
    """A field of the form; what is no text is in JSON, as ContentVariables are."""
    match value:
        case str():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise BuildError("the content has an unpaired surrogate, which UTF-8 cannot encode") from None
            return value
    return json_bytes(value).decode()


def read(target: Target, reply: Reply) -> Verdict:
    """By the status; a refusal that Twilio numbers says what to do about it."""
    return read_status(target, reply, remedy(reply, REFUSALS, "code"))


def preview(message: Message) -> Iterator[Part]:
    """The text."""
    yield from previews.text(message.get("Body"))


TWILIO = Kind(
    name="twilio",
    title="Twilio",
    needs=(
        "``url``: ``https://api.twilio.com/2010-04-01/Accounts/<SID>/Messages.json`` with ``auth: {basic: ...}``, ``to`` and ``from``"
    ),
    sends="``text`` as a text message",
    keys=frozenset({"url", "headers", "auth"}),
    needs_text=True,
    sends_form=True,
    is_path_public=True,
    hosts=("twilio.com",),
    is_hosted=True,
    rate="1/s",
    rate_page="https://help.twilio.com/articles/115002943027",
    text_at=("Body",),
    contents=("Body", "MediaUrl", "ContentSid"),
    longest=LONGEST_TEXT,
    escape=in_sms,
    fields=SMS,
    options=MappingProxyType(
        {
            "to": Option(
                about='the phone number: "+14155551234", or whatsapp:+14155551234',
                required=True,
                pattern=_NUMBER,
                example="+15005550006",
            ),
            "from": Option(
                about='the number that sends: "+14155550000"; or the SID of a messaging service, MG...',
                required=True,
                pattern=r"\S[^\x00-\x1f]{1,63}",
            ),
        }
    ),
    build=build,
    read=read,
    preview=preview,
    marks=("Body",),
)
