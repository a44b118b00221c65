"""What senders are answered: the ``reply`` of a source, or of its preset, compiled."""

from typing import Final

from gateway import presets
from gateway.config.messages import compiled
from gateway.config.schema.reading import Reading
from gateway.config.schema.sources import REPLIES, ReplyKeys, SourceKeys
from gateway.destinations.escapes import no_escape, xml_escape
from gateway.errors import Place
from gateway.model import Content
from gateway.render import Renderer, Templates, TemplateText, Tree
from gateway.routing.replies import Reply

_TYPES: Final = {"text": "text/plain; charset=utf-8", "xml": "text/xml; charset=utf-8", "json": "", "template": ""}
#: Without a body (RFC 9110, 15.3.5 and 15.3.6).
_BODILESS: Final = (204, 205)
_FORM: Final = ".form.j2"


def reply(reading: Reading, name: str, keys: SourceKeys, status: int, templates: Templates) -> Reply | None:
    """The reply of a source with the status that its sender expects; None: the gateway's own words."""
    own = presets.load(keys.preset or "").answer
    if keys.reply is None:
        return _of_preset(own, status, keys.place, templates)
    contents = [content for content in REPLIES if content in keys.reply.written]
    _refuse(reading, name, keys.reply, contents)
    status = keys.reply.status or status
    if not contents:
        return _of_preset(("text", "") if status in _BODILESS else own, status, keys.place, templates)
    content = _content(reading, keys.reply, templates)
    return None if content is None else Reply(status=status, content=content, content_type=_TYPES[contents[0]])


def _refuse(reading: Reading, name: str, keys: ReplyKeys, contents: list[str]) -> None:
    if len(contents) > 1:
        message = f'reply of source "{name}": an answer has one content, not {" and ".join(contents)}'
        reading.error(keys.key_at(contents[1]), message, "keep one")
    elif contents and keys.status in _BODILESS:
        message = f'reply of source "{name}": a {keys.status} has no content'
        reading.error(keys.key_at(contents[0]), message, "remove it, or write status: 200")
    elif not contents and keys.status is None:
        message = f'reply of source "{name}" says nothing'
        reading.error(keys.place, message, "write a status, or one of json, text, xml and template")
    if keys.template is not None and keys.template.text.endswith(_FORM):
        reading.error(
            keys.template.node, f"reply: no sender reads a form ({_FORM})", "write .json.j2, .txt.j2 or .html.j2"
        )


def _content(reading: Reading, keys: ReplyKeys, templates: Templates) -> Renderer[Content] | None:
    if keys.text is not None:
        return compiled(reading, templates.text, keys.text, no_escape)
    if keys.xml is not None:
        return compiled(reading, templates.text, keys.xml, xml_escape)
    if keys.json is not None:
        return compiled(reading, templates.tree, keys.json.tree, no_escape)
    if keys.template is None:
        # What is written could not be read, which is reported.
        return None
    return compiled(reading, templates.file, keys.template.text, keys.template.place, no_escape)


def _of_preset(written: tuple[str, Tree] | None, status: int, place: Place, templates: Templates) -> Reply | None:
    if written is None:
        return None
    kind, said = written
    if kind == "json":
        return Reply(status=status, content=templates.tree(said, no_escape), content_type="")
    escape = xml_escape if kind == "xml" else no_escape
    content = templates.text(TemplateText(str(said), place), escape)
    return Reply(status=status, content=content, content_type=_TYPES[kind])
