"""An e-mail for each delivery, by SMTP over TLS: plain text, HTML or both.

Form: RFC 5322, and RFC 3834 (``Auto-Submitted``: no vacation notice answers it). Answers: RFC 5321, 4.2 (4yz may pass, 5yz is
final), RFC 4954, 6 (logins), RFC 4616. The id of a message is its delivery's: mailboxes that are sent it twice can tell.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from gateway.destinations import previews
from gateway.destinations.chat import message_of, shortened
from gateway.destinations.dialects.email import FIELDS, escape
from gateway.destinations.escapes import address_escape, one_line
from gateway.destinations.kind import Kind, Option
from gateway.destinations.previews import Message, Part, said
from gateway.destinations.requests import json_bytes
from gateway.destinations.target import Parts, Target
from gateway.errors import BuildError
from gateway.hiding.addresses import MASK
from gateway.model import Dead, Delivered, Mail, Raw, Reply, Retry, Verdict

if TYPE_CHECKING:
    from datetime import datetime
    from email.headerregistry import Address
    from email.message import EmailMessage

#: Characters of a subject, and recipients of one message.
LONGEST_SUBJECT: Final = 255
MOST_RECIPIENTS: Final = 50
#: Characters of an address and of what is before its ``@`` (RFC 5321, 4.5.3.1).
LONGEST_ADDRESS: Final = 254
LONGEST_LOCAL: Final = 64

_ADDRESS: Final = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)*"
#: An address, alone or after a name: ``Sales <sales@example.com>``.
_MAILBOX: Final = rf"[^<>,;\"\x00-\x1f]*<{_ADDRESS}>|{_ADDRESS}"
_PARTS: Final = re.compile(rf"(?:([^<>]*)<({_ADDRESS})>|({_ADDRESS}))")

#: What a status means, and what to do.
_MEANINGS: Final[Mapping[int, str]] = MappingProxyType(
    {
        421: "the server is closing the connection: an error on its side, or too many connections",
        450: "the mailbox is busy, or the server wants to see it tried again (greylisting)",
        452: "the server has no room, or accepts fewer recipients at once",
        530: "the server wants a login: set auth",
        534: "the server wants another way to log in: allow app passwords there",
        535: "the server does not accept the login",
        538: "the server accepts a login over TLS only: write smtps://, or remove insecure",
        550: "the mailbox does not exist, or the server does not accept mail for it: correct recipients, or from",
        551: "the mailbox is elsewhere: correct recipients",
        552: "the message or the mailbox is too large: send less",
        553: "an address is not allowed: correct from and recipients",
        554: "the server refuses the message: its words say why",
    }
)
_ABOUT_THE_LOGIN: Final = frozenset({530, 534, 535, 538})


def build(target: Target, parts: Parts) -> Mail:
    """One message to all recipients; BuildError when the content is no message or an address is none."""
    from email.utils import format_datetime

    message = _message(parts)
    sender, recipients = _mailbox("from", target.options.get("from", "")), _recipients(target.options)
    made = _mime(message)
    subject = message.get("subject") or target.options.get("subject") or parts.event.type
    shown = {"from": str(sender), "to": ", ".join(map(str, recipients)), "subject": _line(subject)}
    made["From"], made["To"], made["Subject"] = sender, recipients, shown["subject"]
    if reply_to := target.options.get("reply_to"):
        made["Reply-To"] = _mailbox("reply_to", reply_to)
    # Of the event, so that every attempt sends the same bytes.
    made["Date"] = format_datetime(_utc(parts.event.received_at))
    made["Message-ID"] = f"<{parts.delivery_id}@{sender.domain}>"
    made["Auto-Submitted"] = "auto-generated"
    if made.is_multipart():
        made.set_boundary(f"=_{parts.delivery_id}")
    return Mail(
        url=target.url,
        sender=sender.addr_spec,
        recipients=tuple(each.addr_spec for each in recipients),
        login=_login(target),
        message=made.as_bytes(),
        content_type=made.get_content_type(),
        said=json_bytes(message | shown),
    )


def _message(parts: Parts) -> dict[str, str]:
    """``subject``, ``text`` and ``html`` of the content."""
    content = parts.content
    if isinstance(content, Raw) and content.content_type.startswith("text/html"):
        return {"html": content.body.decode("utf-8", "replace")}
    found = message_of(content, "an e-mail message", lambda text: {"text": text})
    fields = ((key, found.get(key)) for key in ("subject", "text", "html"))
    message = {key: text for key, text in fields if isinstance(text, str)}
    if not message.get("text") and not message.get("html"):
        raise BuildError("an e-mail message needs text or html: write one of them in the body")
    return message


def _mime(message: Mapping[str, str]) -> "EmailMessage":
    from email.message import EmailMessage
    from email.policy import SMTP

    # A server need not take bytes beyond ASCII (RFC 6152): they are encoded, whatever it offers.
    made = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    try:
        if text := message.get("text"):
            made.set_content(text)
        if html := message.get("html"):
            if text:
                made.add_alternative(html, subtype="html")
            else:
                made.set_content(html, subtype="html")
    except UnicodeEncodeError:
        raise BuildError("the content has an unpaired surrogate, which UTF-8 cannot encode") from None
    return made


def _line(text: str) -> str:
    """A header on one line, whatever is in it."""
    return shortened(one_line(text.encode("utf-8", "replace").decode()), LONGEST_SUBJECT)


def _recipients(options: Mapping[str, str]) -> "list[Address]":
    written = [each for each in options.get("recipients", "").split(",") if each.strip()]
    if len(written) > MOST_RECIPIENTS:
        raise BuildError(f"an e-mail has at most {MOST_RECIPIENTS} recipients here: name a mailing list")
    return [_mailbox("recipients", each) for each in written] or [_mailbox("recipients", "")]


def _mailbox(name: str, written: str) -> "Address":
    from email.headerregistry import Address

    found = _PARTS.fullmatch(written.strip())
    address = (found[2] or found[3]) if found else ""
    local = address.partition("@")[0]
    if found is None or len(address) > LONGEST_ADDRESS or len(local) > LONGEST_LOCAL:
        raise BuildError(f"{name} is not an e-mail address: write sales@example.com, or Sales <sales@example.com>")
    try:
        return Address(_line(found[1] or "").strip(), addr_spec=address)
    except (ValueError, IndexError):
        raise BuildError(f"{name} is not an e-mail address: write sales@example.com") from None


def _utc(at: float) -> "datetime":
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at, UTC)


def _login(target: Target) -> tuple[str, str] | None:
    """User and password of ``auth: {basic: ...}``."""
    if target.auth is None:
        return None
    value = target.auth[1]
    try:
        user, _, password = base64.b64decode(value.removeprefix("Basic "), validate=True).decode().partition(":")
    except ValueError:
        # Where secrets are shown masked.
        return MASK, MASK
    return user, password


def read(target: Target, reply: Reply) -> Verdict:
    """By the status of the last command (RFC 5321, 4.2.1): 2yz delivered, 4yz may pass, the rest is final."""
    status = reply.status
    if 200 <= status < 300:
        return Delivered()
    words = " ".join(reply.quotable.decode("utf-8", "replace").split())
    shown = "".join(each for each in words if each.isprintable())[:200]
    meaning = _MEANINGS.get(status, "")
    login = target.login or "the destination has no auth"
    known = "; ".join(each for each in (meaning, login if status in _ABOUT_THE_LOGIN else "") if each)
    reason = f"answered {shown or status}" + (f" ({known})" if known else "")
    return Retry(reason) if status < 500 else Dead(reason)


def status_of(reply: Reply) -> int:
    """As HTTP would say it: 200 for what is accepted, 401 for a refused login, 425 or 503 for what may pass, else 422."""
    if 200 <= reply.status < 300:
        return 200
    if reply.status in _ABOUT_THE_LOGIN:
        return 401
    # About one mailbox or one message: it says nothing bad about the server.
    if reply.status in (450, 452):
        return 425
    return 503 if reply.status < 500 else 422


def preview(message: Message) -> Iterator[Part]:
    """The subject, and the text or else that there is HTML."""
    if subject := previews.word(message.get("subject")):
        yield {"is": "header", "html": said(subject)}
    yield from previews.text(message.get("text"))
    if not message.get("text") and message.get("html"):
        yield {"is": "other", "type": "HTML"}


EMAIL = Kind(
    name="email",
    title="e-mail",
    needs="``url``: ``smtps://`` or ``smtp://`` and a server, ``from`` and ``recipients``",
    sends="``text`` as a plain e-mail; a body has ``subject``, ``text`` and ``html``; a ``.html.j2`` template is HTML",
    keys=frozenset({"url", "auth"}),
    is_mail=True,
    needs_text=True,
    is_path_public=True,
    escape=escape,
    fields=FIELDS,
    options=MappingProxyType(
        {
            "from": Option(
                about="who it is from: Gateway <gateway@example.com>",
                required=True,
                escape=address_escape,
                pattern=_MAILBOX,
                example="someone@example.com",
            ),
            "recipients": Option(
                about="who gets it, an address or a list: [sales@example.com]",
                required=True,
                many=True,
                escape=address_escape,
                pattern=_MAILBOX,
                example="someone@example.com",
            ),
            "subject": Option(
                about='the subject: "New lead {{ attrs.firstname }}"; the event\'s type if left out', escape=one_line
            ),
            "reply_to": Option(
                about="where answers go, if not to from: sales@example.com",
                escape=address_escape,
                pattern=_MAILBOX,
                example="someone@example.com",
            ),
        }
    ),
    build=build,
    read=read,
    status_of=status_of,
    preview=preview,
    marks=("subject",),
)
