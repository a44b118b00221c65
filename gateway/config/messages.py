"""What an entry sends to each of its destinations: the shape of the request and its content."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, ParamSpec, TypeVar

from msgspec.structs import replace

from gateway.config import bodies, checks, prints
from gateway.config.mismatches import below_a_root, elsewhere, in_loop, in_samples, usual_name
from gateway.config.schema.destinations import DestinationKeys
from gateway.config.schema.entries import CONTENTS, ChoiceKeys, FetchKeys, MessageKeys
from gateway.config.schema.keys import keys_of
from gateway.config.schema.reading import Reading, Words
from gateway.config.text.disk import TEMPLATES
from gateway.config.text.references import literal_text
from gateway.destinations import Kind
from gateway.errors import Place, Problem, TemplateRefused
from gateway.event.paths import Facts
from gateway.model import Content, Raw, Text
from gateway.render import FORM_TYPE, Renderer, Templates, TemplateText, is_literal
from gateway.render.compiler import JSON_ENDING
from gateway.render.unknown import UnknownRoot
from gateway.routing.destinations import Destination
from gateway.routing.entries import Choice, Message

P = ParamSpec("P")
T = TypeVar("T")

#: Endings of templates whose output only an http destination can send.
_HTTP_ENDINGS: Final = (".html.j2", ".form.j2")
_JSON_TYPE: Final = re.compile(r"\s*application/(?:[\w.+-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)


class MessageCompiler:
    """Compiles what entries send, checked against the destinations that they name."""

    def __init__(
        self,
        reading: Reading,
        written: Mapping[str, DestinationKeys],
        destinations: Mapping[str, Destination],
        disabled: Collection[str],
    ) -> None:
        self._reading = reading
        self._written = written
        self._destinations = destinations
        self._disabled = disabled

    def messages(
        self,
        keys: MessageKeys,
        templates: Templates,
        fallback: str | None,
        choose: Sequence[ChoiceKeys] | None = None,
    ) -> dict[str, Message]:
        """One message for each enabled destination; ``fallback`` is the text for people if there is none.

        ``choose``: the messages of which the first that holds is sent, instead of what the keys say.
        """
        for each in choose or (keys,):
            self._refuse_two_contents(each)
        if choose:
            holds = [
                None if each.condition is None else compiled(self._reading, templates.truth, each.condition)
                for each in choose
            ]
            found = {each.name: self._choosing(choose, holds, each, templates, fallback) for each in self._to(keys)}
        else:
            found = {each.name: self._message(keys, each, templates, fallback) for each in self._to(keys)}
        return {name: message for name, message in found.items() if name not in self._disabled}

    def _choosing(
        self,
        choose: Sequence[ChoiceKeys],
        holds: Sequence[Renderer[bool] | None],
        destination: Destination,
        templates: Templates,
        fallback: str | None,
    ) -> Message:
        choices = tuple(
            Choice(place=each.place, holds=one, message=self._message(each, destination, templates, fallback))
            for each, one in zip(choose, holds, strict=True)
        )
        return Message(choices=choices, is_own_address=any(each.message.is_own_address for each in choices))

    def lookup(self, keys: FetchKeys, name: str, destination: Destination, templates: Templates) -> Message:
        """The request of a look-up, whose content is what is written and never the event."""
        asked = MessageKeys(
            place=keys.place,
            written=keys.written,
            called=f"fetch {name}",
            method=keys.method or "GET",
            path=keys.path,
            query=keys.query,
            headers=keys.headers,
            body=keys.body,
            form=keys.form,
        )
        if "body" in keys.written and "form" in keys.written:
            self._reading.error(keys.key_at("form"), f'fetch "{name}" has both "body" and "form"', "keep one")
        message = self._message(asked, destination, templates, None)
        if asked.method == "GET" and message.content is not None:
            hint = "write method: POST, or put the values under query"
            content = _content_of(asked) or "body"
            self._reading.error(keys.key_at(content), f'fetch "{name}": a GET has no {content}', hint)
        return message if message.content is not None else replace(message, content=_nothing)

    def known(self, name: Words) -> Destination | None:
        """The destination of that name; None after it was reported that there is none."""
        found = self._destinations.get(name.text)
        if found is None:
            types = {each.name: each.kind.name for each in self._destinations.values()}
            meant = checks.meant_destination(name.shown, types)
            self._reading.refuse_unknown("destination", name.node, name.shown, self._destinations, meant)
        return found

    def _to(self, keys: MessageKeys) -> Sequence[Destination]:
        known = self._destinations
        found: dict[str, Destination] = {}
        for name in keys.to or ():
            if name.is_stand_in:
                continue
            if self.known(name) is None:
                continue
            if name.text in found:
                hint = "name it once; for two messages, write two routes"
                self._reading.error(name.node, f'"{name.shown}" is named twice', hint)
            else:
                found[name.text] = known[name.text]
        return tuple(found.values())

    def _refuse_two_contents(self, keys: MessageKeys) -> None:
        contents = [content for content in CONTENTS if content in keys.written]
        if len(contents) > 1:
            message = f"a message has one content, not {' and '.join(contents)}"
            self._reading.error(
                keys.key_at(contents[1]), message, "keep one; for a second message, write a second route"
            )
        if keys.to == () and contents:
            self._reading.error(
                keys.key_at(contents[0]),
                f'"{contents[0]}" is sent nowhere: to is []',
                "remove it, or name a destination",
            )

    def _message(
        self, keys: MessageKeys, destination: Destination, templates: Templates, fallback: str | None
    ) -> Message:
        self._refuse_shape(keys, destination.kind)
        self._check_headers(keys, destination)
        return Message(
            method=keys.method,
            path=self._path(keys, templates),
            query=self._named(keys.query, templates.query),
            is_own_address=_is_own_address(keys),
            headers=self._named(keys.headers, templates.header),
            content=self._content(keys, destination.kind, templates, fallback),
            options=self._options(destination, templates),
            counts="delivery.count" in (keys.text.text if keys.text else ""),
        )

    def _options(self, destination: Destination, templates: Templates) -> tuple[tuple[str, Renderer[Text]], ...]:
        """The options of a destination that depend on the event."""
        known = destination.kind.options
        written = self._written[destination.name].options
        found = (
            (name, compiled(self._reading, templates.text, source, known[name].escape))
            for name, source in written.items()
            if name in known and not is_literal(source.text)
        )
        return tuple((name, renderer) for name, renderer in found if renderer is not None)

    def _refuse_shape(self, keys: MessageKeys, kind: Kind) -> None:
        takes_headers = kind.name in keys_of(DestinationKeys)["headers"][1].types
        meaningless = () if kind.shapes_request else ("method", "path", "query", "form")
        for key in (*meaningless, *(() if takes_headers else ("headers",))):
            if key in keys.written:
                message = f'"{key}" has no effect on a destination of type {kind.name}'
                self._reading.error(keys.key_at(key), message, "remove it, or send this to an http destination")

    def _check_headers(self, keys: MessageKeys, destination: Destination) -> None:
        for name in keys.headers:
            checks.header_name(self._reading, name, keys.name_at("headers", name), destination.own_headers)
        checks.no_variables(self._reading, keys.written.get("headers"))
        headers = {name.lower(): value for name, value in destination.target.headers}
        headers |= {name.lower(): value.text for name, value in keys.headers.items()}
        content = _content_of(keys)
        if content is not None and _contradicts(headers.get("content-type", ""), keys):
            place = keys.at("headers") if "headers" in keys.written else keys.key_at(content)
            message = f'the content-type of the headers contradicts "{content}" of "{keys.called}"'
            self._reading.error(place, message, "remove the header, or change the content")

    def _path(self, keys: MessageKeys, templates: Templates) -> Renderer[str] | None:
        if keys.path is None:
            return None
        if "://" in literal_text(keys.path.text):
            hint = "write only what comes after that url, or name another destination"
            self._reading.error(keys.at("path"), '"path" is appended to the url of the destination', hint)
        if "?" in literal_text(keys.path.text):
            hint = "write the parameters under query: {limit: 10}"
            self._reading.error(keys.at("path"), 'a ? in "path" would become part of the path', hint)
        return compiled(self._reading, templates.path, keys.path)

    def _named(
        self, written: Mapping[str, TemplateText], compile_one: Callable[[TemplateText], Renderer[str]]
    ) -> tuple[tuple[str, Renderer[str]], ...]:
        found = ((name, compiled(self._reading, compile_one, source)) for name, source in written.items())
        return tuple((name, renderer) for name, renderer in found if renderer is not None)

    def _content(
        self, keys: MessageKeys, kind: Kind, templates: Templates, fallback: str | None
    ) -> Renderer[Content] | None:
        if keys.text is not None:
            prints.advise_text(self._reading, keys.text, kind)
            return compiled(self._reading, templates.text, keys.text, kind.escape)
        if keys.body is not None and keys.body.is_empty:
            return _nothing
        if keys.body is not None:
            bodies.advise(self._reading, keys, kind)
            prints.advise_tree(self._reading, keys.body.tree, kind)
            return compiled(self._reading, templates.tree, keys.body.tree, kind.escape)
        if keys.form is not None:
            return compiled(self._reading, templates.form, keys.form.tree)
        if keys.template is not None:
            is_html_mail = kind.is_mail and keys.template.text.endswith(".html.j2")
            if keys.template.text.endswith(_HTTP_ENDINGS) and not (kind.shapes_request or is_html_mail):
                message = f'the template "{keys.template.shown}" cannot be sent to a destination of type {kind.name}'
                self._reading.error(keys.template.place, message, "write .json.j2 or .txt.j2, or text")
                return None
            return self._template_file(keys.template, kind, templates)
        if not kind.needs_text or any(map(keys.has, (*CONTENTS, "send"))):
            return None
        if fallback is not None:
            return templates.text(TemplateText(fallback, keys.place), kind.escape)
        message = f'"{keys.called}" has no content for a {kind.name} destination'
        self._reading.error(keys.place, message, "write text, body or template: raw events are not meant for people")
        return None

    def _template_file(self, name: Words, kind: Kind, templates: Templates) -> Renderer[Content] | None:
        try:
            render = templates.file(name.text, name.place, kind.escape)
        except TemplateRefused as refused:
            # A name from outside appears as its reference.
            for problem in refused.problems:
                message = problem.message.replace(name.text, name.shown) if name.text else problem.message
                self._reading.report.add(replace(problem, message=message))
            return None
        file = Place(f"{TEMPLATES}/{name.text}", 1)
        is_json = name.text.endswith(JSON_ENDING)
        prints.advise_file(self._reading, self._reading.disk.templates[name.text], file, kind, is_json=is_json)
        return render


def compiled(reading: Reading, compile_one: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """A template, or None after its problem was reported."""
    try:
        return compile_one(*args, **kwargs)
    except TemplateRefused as refused:
        for problem in refused.problems:
            reading.report.add(_with_field(problem, reading.samples))
        return None


def _with_field(problem: Problem, samples: Sequence[Facts]) -> Problem:
    """The problem of a name alone, with the field of a sample that is meant by it."""
    if isinstance(problem, UnknownRoot):
        return replace(problem, hint=_hint(problem, samples))
    if _ELSEWHERE in problem.message:
        hint = _FIELD.sub(lambda found: in_samples(found[0], samples), problem.hint)
        return replace(problem, hint=_LOOP.sub(lambda found: _of_elements(found, samples), hint))
    return problem


def _hint(problem: UnknownRoot, samples: Sequence[Facts]) -> str:
    is_listed = problem.hint.startswith("known: ")
    suggested = _ROOT.fullmatch(problem.hint)
    if not is_listed and not (suggested and any(suggested[1] in (*each, "omit") for each in samples)):
        return _FIELD.sub(lambda found: in_samples(found[0], samples), problem.hint)
    right = in_loop(problem.path, problem.around, samples) if is_listed else ""
    right = right or below_a_root(problem.path, samples)
    if is_listed:
        right = right or elsewhere(problem.path, samples) or elsewhere(re.split(r"[.[]", problem.path)[0], samples)
        return "; ".join(filter(None, (right, problem.hint)))
    return right or problem.hint


#: A root with a name that is like the unknown one.
_ROOT: Final = re.compile(r'did you mean "(\w+)"\?')
#: A field in the remedy for an expression of another product's; what is called is a method of one.
_FIELD: Final = re.compile(r"\bpayload(?:\.\w+(?![\w(])|\[\d+\])+")
#: A loop in one, which prints a field that its elements may have.
_LOOP: Final = re.compile(r"(?P<loop>\{% for (?P<one>\w+) in (?P<list>[\w.]+) %\})\{\{ (?P=one)\.name \}\}")


def _of_elements(found: re.Match[str], samples: Sequence[Facts]) -> str:
    name = usual_name(found["list"], samples)
    return f"{found['loop']}{{{{ {found['one']}.{name} }}}}"


_ELSEWHERE: Final = " is written in the syntax of "


def _nothing(_facts: Mapping[str, object]) -> Content:
    return Raw(b"", "")


def _is_own_address(keys: MessageKeys) -> bool:
    written = [*([keys.path] if keys.path is not None else []), *keys.query.values()]
    return not all(is_literal(each.text) for each in written)


def _content_of(keys: MessageKeys) -> str | None:
    return next((content for content in CONTENTS if content in keys.written), None)


def _contradicts(content_type: str, keys: MessageKeys) -> bool:
    """Whether JSON would be sent under another content type, or another content under JSON's."""
    if not content_type or "{{" in content_type:
        return False
    template = "" if keys.template is None else keys.template.text
    if keys.form is not None or template.endswith(".form.j2"):
        return not content_type.strip().lower().startswith(FORM_TYPE)
    is_text = template.endswith((".txt.j2", ".html.j2"))
    return is_text == bool(_JSON_TYPE.fullmatch(content_type))
