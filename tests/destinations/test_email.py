"""E-mail: one message that no value can add a header or a recipient to, the same bytes for every attempt."""

import json
from email import message_from_bytes
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import format_problem, load
from gateway.destinations import KINDS, Target
from gateway.destinations.escapes import address_escape
from gateway.errors import BuildError, ConfigError
from gateway.model import Delivery, Json, Mail, Raw, Text
from gateway.routing.cases import sample
from tests.destinations.values import parts

OPTIONS = {"from": "Gateway <gateway@example.com>", "recipients": "sales@example.com"}


def mail(content=Text("hi"), **options: str) -> Mail:  # noqa: B008  a frozen value
    target = Target(url="smtps://mail.example.com", options={**OPTIONS, **options})
    made = KINDS["email"].build(target, parts(content=content))
    assert isinstance(made, Mail)
    return made


def parsed(made: Mail):
    return message_from_bytes(made.message, policy=default)


def test_a_text_is_a_plain_message_with_the_ids_of_its_event() -> None:
    made = mail(Text("Grüße\n.\nSales"))
    found = parsed(made)
    assert dict(found.items()) == {
        "From": "Gateway <gateway@example.com>",
        "To": "sales@example.com",
        "Subject": "contact.created",
        "Date": "Thu, 01 Jan 2026 00:00:00 +0000",
        "Message-ID": "<dlv_1@example.com>",
        "Auto-Submitted": "auto-generated",
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": found["Content-Transfer-Encoding"],
        "MIME-Version": "1.0",
    }
    assert found.get_content().replace("\r\n", "\n") == "Grüße\n.\nSales\n"
    assert (made.sender, made.recipients, made.login) == ("gateway@example.com", ("sales@example.com",), None)


def test_every_attempt_sends_the_same_bytes() -> None:
    both = Json({"text": "t", "html": "<p>h</p>"})
    assert mail(both).message == mail(both).message


def test_a_body_can_have_a_text_and_html() -> None:
    found = parsed(mail(Json({"subject": "S", "text": "t", "html": "<p>h</p>"})))
    assert found["Subject"] == "S"
    assert found.get_content_type() == "multipart/alternative"
    assert [each.get_content_type() for each in found.iter_parts()] == ["text/plain", "text/html"]


def test_a_template_of_html_is_a_message_in_html() -> None:
    found = parsed(mail(Raw(b"<p>\xc3\xa9</p>", "text/html; charset=utf-8")))
    assert (found.get_content_type(), found.get_content().replace("\r\n", "\n")) == ("text/html", "<p>é</p>\n")


@pytest.mark.parametrize("content", [Json({}), Json({"text": ""}), Json({"text": 7}), Json({"subject": "s"})])
def test_a_message_that_says_nothing_is_not_sent(content) -> None:
    with pytest.raises(BuildError, match="needs text or html"):
        mail(content)


def test_several_recipients_get_one_message() -> None:
    made = mail(recipients="Sales <sales@example.com>, ann@example.org")
    assert made.recipients == ("sales@example.com", "ann@example.org")
    assert parsed(made)["To"] == "Sales <sales@example.com>, ann@example.org"


@given(st.text(st.sampled_from('ab@,;<>"()\\: \r\n.é\x00\u2028'), max_size=40))
def test_a_value_is_never_more_than_one_recipient(text: str) -> None:
    try:
        made = mail(recipients=address_escape(text))
    except BuildError as error:
        assert "is not an e-mail address" in str(error)
    else:
        assert len(made.recipients) == 1


@given(st.text() | st.just("x\r\nBcc: eve@example.com\r\n\r\nbody"))
def test_a_subject_adds_no_header_and_no_line(text: str) -> None:
    usual = {*parsed(mail()).keys()}
    made = parsed(mail(Json({"text": "t", "subject": text}))) if text.strip() else parsed(mail())
    assert {*made.keys()} == usual
    assert made.get_content().split() == (["t"] if text.strip() else ["hi"])


@given(st.text() | st.just("x\r\n.\r\nMAIL FROM:<eve@example.com>"))
def test_any_text_arrives_as_it_is_on_lines_that_smtp_can_carry(text: str) -> None:
    encodable = text.encode("utf-8", "replace").decode()
    made = mail(Json({"text": f"-{encodable}"}))
    assert all(len(line) <= 998 for line in made.message.split(b"\r\n"))
    assert b"\n" not in made.message.replace(b"\r\n", b"")
    # Any server takes it, also one that offers no 8BITMIME (RFC 6152).
    assert made.message.isascii()
    assert json.loads(made.said)["text"] == f"-{encodable}"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "sales",
        "@example.com",
        "a@b@c.example",
        "a b@example.com",
        "a@exa mple",
        "ä@example.com",
        "x" * 65 + "@a.example",
    ],
)
@pytest.mark.parametrize("option", ["from", "recipients", "reply_to"])
def test_what_is_no_address_is_never_sent(option: str, address: str) -> None:
    if option == "reply_to" and not address:
        return
    with pytest.raises(BuildError, match=f"{option} is not an e-mail address"):
        mail(**{option: address})


FILE = """\
version: 1
sources: {{xobito: {{preset: xobito, secret: s}}}}
destinations:
  mail:
    type: email
    {keys}
routes:
  - match: contact.created
    to: mail
    {content}
tests:
  - {{event: contact.created, name: a lead is mailed, expect: {{mail: {{contains: ["Doe"]}}}}}}
"""
GOOD = (
    "url: smtps://mail.example.com\n    from: gw@example.com\n    recipients: [sales@example.com, '{{ attrs.email }}']"
)


def loaded(folder, keys: str = GOOD, content: str = "text: hi {{ attrs.lastname }}"):
    (folder / "routes.yaml").write_text(FILE.format(keys=keys, content=content))
    return load(folder / "routes.yaml", environ={"PW": "s3cr3t-of-mail"})


def built(config) -> Mail:
    source = config.sources["xobito"]
    [received] = source.received([], sample(source, "contact.created"), now=1.0)
    [name] = config.entries
    made = config.built(
        Delivery(id="dlv_2", event_id="e", route=name, destination="mail"), received.event, received.payload
    ).request
    assert isinstance(made, Mail)
    return made


def test_recipients_may_come_from_the_event(tmp_path) -> None:
    assert built(loaded(tmp_path)).recipients == ("sales@example.com", "john@example.com")


def test_values_are_inert_in_html(tmp_path) -> None:
    content = """body: {subject: "{{ attrs.firstname }}", html: "<p>{{ '<b>' ~ attrs.lastname }}</p>"}"""
    assert json.loads(built(loaded(tmp_path, content=content)).said)["html"] == "<p>&lt;b&gt;Doe</p>"


def test_the_login_is_the_one_of_the_file_and_is_shown_nowhere(tmp_path) -> None:
    config = loaded(tmp_path, GOOD + "\n    auth: {basic: {user: gw, password: '${PW}'}}")
    made = built(config)
    assert made.login == ("gw", "s3cr3t-of-mail")
    assert config.destinations["mail"].masked(made).login is None
    assert "s3cr3t" not in repr(made)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (GOOD.replace("smtps://", "https://"), "it does not start with smtps:// or smtp://"),
        (GOOD.replace(".com\n", ".com/inbox\n", 1), "a mail server has no path"),
        (
            GOOD.replace("from: gw@example.com", "from: gateway"),
            '"from" of destination "mail": "gateway" is not allowed',
        ),
        (GOOD.replace("[sales@example.com", "[sales"), '"recipients" of destination "mail": "sales" is not allowed'),
        (GOOD + "\n    auth: {bearer: x}", "a mail server needs a user and a password"),
        (GOOD + "\n    headers: {a: b}", 'a destination of type email cannot have "headers"'),
        (
            GOOD.replace("smtps", "smtp") + "\n    insecure: true\n    auth: {basic: {user: a, password: b}}",
            "insecure: true would show auth.basic",
        ),
    ],
    ids=["scheme", "path", "from", "recipients", "auth", "headers", "insecure"],
)
def test_a_mistake_says_what_to_write(tmp_path, wrong: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, wrong)
    assert any(message in format_problem(each) for each in refused.value.problems)


def test_http_has_no_smtp_address(tmp_path) -> None:
    (tmp_path / "routes.yaml").write_text("version: 1\nsources: {}\ndestinations: {a: {url: 'smtp://a.example'}}\n")
    with pytest.raises(ConfigError):
        load(tmp_path / "routes.yaml", environ={})
