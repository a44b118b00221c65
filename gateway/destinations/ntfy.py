"""ntfy, by its JSON form: a message for the topic in the url, shortened to ntfy's limit, its answers in words.

Form and limits: ntfy's page "Publishing" (publish as JSON; limitations: 4,096 bytes per message, which a longer one would
turn into an attachment); its server reads twice as many bytes of JSON. Answers: ``{"code", "http", "error"}``. A server
allows 60 requests at once and then one every 5 seconds, unless its operator or your plan says otherwise.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from gateway.destinations import previews
from gateway.destinations.answers import read_status
from gateway.destinations.chat import posted, remedy, within_bytes, without_half_escape
from gateway.destinations.dialects.ntfy import FIELDS, escape
from gateway.destinations.escapes import one_line
from gateway.destinations.kind import Kind, Option
from gateway.destinations.previews import Message, Part, said
from gateway.destinations.target import Parts, Target
from gateway.model import HttpRequest, Reply, Verdict

#: Bytes of a message, of its title, and of all of it as JSON.
LONGEST_MESSAGE: Final = 4_096
LONGEST_TITLE: Final = 256
LONGEST_JSON: Final = 8_192

_PRIORITIES: Final[Mapping[str, int]] = MappingProxyType(
    {str(number): number for number in range(1, 6)}
    | {"min": 1, "low": 2, "default": 3, "high": 4, "max": 5, "urgent": 5}
)

#: ntfy's numbers for what it refuses, and what to do about each.
REFUSALS: Final[Mapping[int, str]] = MappingProxyType(
    {
        40007: "the priority is not valid: write 1 to 5",
        40009: "the topic at the end of url is not valid: use up to 64 letters, digits, _ and -",
        40010: "ntfy reserves this topic: choose another one",
        40014: "the server allows no attachments: send less text",
        40024: "the message is not as ntfy defines it: priority is 1 to 5, tags is a list; correct the entry's body or template",
        40101: "ntfy does not accept the login: correct auth",
        40301: "the topic is protected: set auth, or allow its user to write there",
    }
)


def build(target: Target, parts: Parts) -> HttpRequest:
    """A POST to the server with the topic in the message; BuildError when the content is not a message."""
    server, topic = _parted(target.url)
    defaults = {"topic": topic, **_options(target.options)}
    return posted(
        replace(target, url=server),
        parts,
        "an ntfy message",
        lambda text: {"message": text},
        lambda message: fitted({**defaults, **message}),
    )


def _parted(url: str) -> tuple[str, str]:
    """The server with its query, and the topic, for ``https://ntfy.sh/topic``."""
    head, _, query = url.partition("#")[0].partition("?")
    scheme, _, rest = head.rstrip("/").partition("://")
    host, _, path = rest.partition("/")
    above, _, topic = path.rpartition("/")
    if scheme == "inbox":
        return url, topic
    return f"{scheme}://{host}/{above}" + (f"?{query}" if query else ""), topic


def _options(options: Mapping[str, str]) -> dict[str, object]:
    found: dict[str, object] = dict(options)
    if priority := options.get("priority"):
        found["priority"] = _PRIORITIES.get(priority, priority)
    if tags := options.get("tags"):
        found["tags"] = [tag for each in tags.split(",") if (tag := each.strip())]
    return found


def fitted(message: Message) -> Message:
    """The message with its text and its title shortened to ntfy's limits. Total."""
    fit = dict(message)
    for key, limit in {"message": LONGEST_MESSAGE, "title": LONGEST_TITLE}.items():
        if isinstance(text := fit.get(key), str):
            fit[key] = _within(text, limit)
    return within_bytes(fit, LONGEST_JSON, {"message"}, without_half_escape)


def _within(text: str, limit: int) -> str:
    encoded = text.encode("utf-8", "surrogatepass")
    if len(encoded) <= limit:
        return text
    kept = encoded[: limit - len("…".encode())].decode("utf-8", "ignore")
    return f"{without_half_escape(kept)}…"


def read(target: Target, reply: Reply) -> Verdict:
    """By the status; a refusal that ntfy numbers says what to do about it."""
    return read_status(target, reply, remedy(reply, REFUSALS, "code"))


def preview(message: Message) -> Iterator[Part]:
    """The title, the message and its buttons."""
    if title := previews.word(message.get("title")):
        yield {"is": "header", "html": said(title)}
    yield from previews.text(message.get("message"), "markdown" if message.get("markdown") is True else "plain")
    if names := [said(each.get("label")) for each in previews.objects(message.get("actions"))]:
        yield {"is": "buttons", "names": names}


NTFY = Kind(
    name="ntfy",
    title="ntfy",
    needs="``url``: the server and the topic, ``https://ntfy.sh/my-topic``",
    sends="``text`` as a notification, plain unless the body has ``markdown: true``",
    keys=frozenset({"url", "headers", "auth"}),
    needs_text=True,
    secret_after=("ntfy.sh/",),
    hosts=("ntfy.sh",),
    text_at=("message",),
    longest=LONGEST_MESSAGE,
    escape=escape,
    fields=FIELDS,
    options=MappingProxyType(
        {
            "title": Option(about="the title of a notification: New lead", escape=one_line),
            "priority": Option(
                about="the priority of a notification: 1 to 5, or min, low, default, high, max",
                pattern=r"[1-5]|min|low|default|high|max|urgent",
            ),
            "tags": Option(about="tags and emoji of a notification, separated by commas: warning,crm", escape=one_line),
            "click": Option(about="the address that a tap on the notification opens: https://crm.example.com"),
        }
    ),
    build=build,
    read=read,
    preview=preview,
    marks=("topic",),
)
