"""One entry of always, routes, unmatched or failed: its rule, and what it says to each of its destinations."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final, ParamSpec, TypeVar

from gateway import presets
from gateway.config import checks
from gateway.config.schema.conditions import ConditionCompiler
from gateway.config.schema.file import (
    BESIDE_SEND,
    CONTENTS,
    DestinationKeys,
    EntryKeys,
    FileKeys,
    SaidKeys,
    SourceKeys,
    keys_of,
)
from gateway.config.schema.values import Reading, Words
from gateway.config.text.reader import Scalar
from gateway.config.text.references import literal_text
from gateway.destinations import Kind
from gateway.destinations.escapes import no_escape
from gateway.errors import RenderError, TemplateRefused
from gateway.event.match import Expression, Rule
from gateway.event.paths import MISSING, ROOTS, lookup, split_path
from gateway.model import Content, Raw, Text
from gateway.render import FORM_TYPE, Renderer, Templates, TemplateText, is_literal
from gateway.routing.config import Destination, Entry, Message, Once
from gateway.wording import suggest, suggest_or_list

P = ParamSpec("P")
T = TypeVar("T")

#: Endings of templates whose output only an http destination can send as what it is.
_HTTP_ENDINGS: Final = (".html.j2", ".form.j2")
#: What `event` has; the other roots are the sender's.
_EVENT_FIELDS: Final = ("id", "type", "source", "resource", "action", "received_at")
#: What `delivery` has, in `failed`.
_DELIVERY_FIELDS: Final = ("id", "destination", "route", "attempts", "reason", "status", "count", "link")
_JSON_TYPE: Final = re.compile(r"\s*application/(?:[\w.+-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)


class EntryCompiler:
    """Holds entries against the sources, destinations and templates that they name."""

    def __init__(
        self,
        reading: Reading,
        written: FileKeys,
        destinations: Mapping[str, Destination],
        disabled: Collection[str],
        folder: Path,
        hide: Callable[[str], str],
    ) -> None:
        self._reading = reading
        own = SourceKeys(place=written.place, written={}, preset=presets.OWN)
        self._sources_written = {**written.sources, presets.OWN: own}
        self._vars = written.vars
        self._where_named = {name: named.where for name, named in written.conditions.items()}
        self.conditions = ConditionCompiler(reading, self._where_named)
        self._destinations = destinations
        self._written_destinations = written.destinations
        self._disabled = disabled
        self._folder = folder
        self._hide = hide
        self._templates: dict[frozenset[str], Templates] = {}

    def entry(self, keys: EntryKeys, fallback: str | None = None) -> Sequence[Entry]:
        """An entry, and behind it those of its ``send``; ``fallback`` is the text for people when it has none."""
        sources = self.sources(keys)
        roots = self._roots(sources) | ({"delivery"} if keys.section == "failed" else set())
        templates = self._templates_for(roots)
        rule = Rule(
            sources=None if keys.source is None else frozenset(sources),
            patterns=self._patterns(keys, sources),
            where=self.conditions.compile(keys.where, lambda path: self._check_path(path, sources, roots)),
            expression=self._expression(keys, templates),
            stops=keys.stop or keys.to == (),
        )
        self._refuse_beside_send(keys)
        self._refuse_empty(keys)
        self._refuse_in_failed(keys)
        said = keys.send or ()
        messages = [self._messages(each, templates, fallback) for each in (keys, *said)]
        names = [each.called for each in (keys, *said)]
        deliveries = [
            tuple((name, destination) for destination in found) for name, found in zip(names, messages, strict=True)
        ]
        head = [tuple(delivery for each in deliveries for delivery in each), *deliveries[1:]]
        return [
            Entry(
                name=each.called,
                section=keys.section,
                place=each.place,
                rule=rule,
                messages=MappingProxyType(messages[at]),
                deliveries=head[at],
                once=self._once(keys, templates) if at == 0 else None,
            )
            for at, each in enumerate((keys, *said))
        ]

    def _once(self, keys: EntryKeys, templates: Templates) -> Once | None:
        if keys.once is None or keys.once.per is None:
            return None
        per = self._compiled(templates.text, keys.once.per, no_escape)
        if "{{" not in keys.once.per.text:
            message = f'"once" of "{keys.called}" has the same key for every event: it would send a single time'
            self._reading.error(keys.once.at("per"), message, 'name a field: per: "{{ attrs.id }}"')
        return None if per is None else Once(per=per, window_s=keys.once.for_s)

    def _refuse_in_failed(self, keys: EntryKeys) -> None:
        if keys.section != "failed":
            return
        if keys.once is not None:
            hint = "remove it: what fails within a minute is told in one message"
            self._reading.error(keys.key_at("once"), f'"once" means nothing to "{keys.called}"', hint)
        for name in keys.source or ():
            if name.text == presets.OWN:
                message = f'"{keys.called}": a delivery of the gateway\'s own events never causes another'
                self._reading.error(name.node, message, "leave source out, or name sources of yours")

    def lane(self, name: str, keys: DestinationKeys) -> tuple[str, ...]:
        """Where the key of a lane stands; empty: there is none."""
        if keys.order_by is None:
            return ()
        everything = tuple(self._sources_written)
        node = keys.order_by.node
        if "{" in keys.order_by.text:
            self._reading.error(node, f'order_by of "{name}" is the path of a field', "write order_by: attrs.id")
            return ()
        self._check_path(node, everything, ROOTS.union(*map(self.shortcuts, everything)))
        return split_path(keys.order_by.text)

    def check_conditions(self) -> None:
        """Report what is wrong with ``conditions``, also with those that no entry names."""
        everything = tuple(self._sources_written)
        roots = ROOTS.union(*map(self.shortcuts, everything))
        for where in self._where_named.values():
            self.conditions.compile(where, lambda path: self._check_path(path, everything, roots))

    def _expression(self, keys: EntryKeys, templates: Templates) -> Expression | None:
        evaluate = None if keys.condition is None else self._compiled(templates.truth, keys.condition)
        if evaluate is None or keys.condition is None:
            return None
        if templates.is_constant(keys.condition):
            self._warn_constant(keys, evaluate)
        return Expression(text=keys.condition.text, evaluate=evaluate)

    def _warn_constant(self, keys: EntryKeys, evaluate: Renderer[bool]) -> None:
        try:
            verdict = "always holds" if evaluate({}) else "never holds"
        except RenderError:
            verdict = "fails for every event"
        message = f'"if" of "{keys.called}" names no field: it {verdict}'
        self._reading.warning(keys.at("if"), message, 'name a field: attrs.type == "lead"; or remove it')

    def _refuse_empty(self, keys: EntryKeys) -> None:
        if keys.section == "always" and (keys.to == () or keys.stop):
            place = keys.at("stop") if keys.stop else keys.at("to")
            self._reading.error(
                place, f'"{keys.called}" would keep events from the entries of always behind it', "remove it"
            )
        for each in keys.send or ():
            if each.to == ():
                self._reading.error(
                    each.at("to"), f'"{each.called}" is sent to nobody', "remove it, or name a destination"
                )

    def _refuse_beside_send(self, keys: EntryKeys) -> None:
        if keys.send is None:
            return
        for text in BESIDE_SEND:
            if text in keys.written:
                message = f'"{text}" stands beside "send" in route "{keys.called}"'
                self._reading.error(keys.key_at(text), message, "move it into the elements of send that need it")

    def _messages(self, keys: SaidKeys, templates: Templates, fallback: str | None) -> dict[str, Message]:
        self._refuse_two_contents(keys)
        found = {each.name: self._message(keys, each, templates, fallback) for each in self._to(keys)}
        return {name: message for name, message in found.items() if name not in self._disabled}

    # --- which events ---

    def sources(self, keys: EntryKeys) -> Sequence[str]:
        """The sources that an entry can take."""
        known = self._sources_written
        if keys.source == ():
            self._reading.error(
                keys.at("source"), f'"source" of "{keys.called}" names none', "leave it out for every source"
            )
        if keys.source is None:
            return tuple(name for name in known if name != presets.OWN)
        for name in keys.source:
            if name.text not in known:
                self._reading.error(name.node, f'unknown source "{name.shown}"', suggest_or_list(name.shown, known))
        return tuple(name.text for name in keys.source if name.text in known)

    def shortcuts(self, source: str) -> frozenset[str]:
        """The roots that a source adds; of one whose preset is not known, all that there can be."""
        keys = self._sources_written[source]
        named = presets.NAMES if keys.preset is None else (keys.preset,)
        return frozenset(keys.shortcuts).union(*(presets.load(name).naming.shortcut_names for name in named))

    def _roots(self, sources: Sequence[str]) -> frozenset[str]:
        """What every source that the entry can take declares."""
        declared = [self.shortcuts(source) for source in sources if self._sources_written[source].preset is not None]
        # Without a source nothing is ever rendered; its one problem is reported where it is.
        names = declared or [presets.load(name).naming.shortcut_names for name in presets.NAMES]
        return ROOTS | frozenset.intersection(*names)

    def _patterns(self, keys: EntryKeys, sources: Sequence[str]) -> tuple[str, ...] | None:
        if keys.match is None:
            return None
        if not keys.match:
            self._reading.error(
                keys.at("match"), "match is an empty list, which no event meets", "leave match out to take every event"
            )
        known = self._known_types(sources)
        for pattern in keys.match:
            if self._is_pattern(pattern):
                checks.near_type(self._reading, pattern, known)
        return tuple(pattern.text for pattern in keys.match)

    def _known_types(self, sources: Sequence[str]) -> frozenset[str]:
        named = {preset for source in sources if (preset := self._sources_written[source].preset) is not None}
        return frozenset(event_type for name in named for event_type in presets.load(name).samples)

    def _is_pattern(self, pattern: Words) -> bool:
        shown = pattern.shown
        if found := re.search(r"[,\s]", pattern.text):
            kind = "comma" if found[0] == "," else "blank"
            parts = ", ".join(re.split(r"[,\s]+", shown.strip(", ")))
            self._reading.error(
                pattern.node, f'"{shown}" holds a {kind}, which no event type has', f"a list is written [{parts}]"
            )
            return False
        segments = pattern.text.split(".")
        if "" in segments:
            self._reading.error(
                pattern.node, f'"{shown}" has an empty part', "write parts between single dots: contact.created"
            )
        elif any("*" in segment and segment not in ("*", "**") for segment in segments):
            hint = "* is one whole part and ** any number of them: contact.*"
            self._reading.error(pattern.node, f'"{shown}" has a * inside a part', hint)
        else:
            return True
        return False

    def _check_path(self, path: Scalar, sources: Sequence[str], roots: frozenset[str]) -> None:
        root, *rest = split_path(path.text)
        if root not in roots:
            self._reading.error(path, f'unknown field "{path.text}"', self._root_hint(root, rest, sources, roots))
        elif not rest or "" in rest:
            hint = "write the field behind the dot: "
            hint += 'event.action: created; or match: "*.created"' if root == "event" else f"{root}.name"
            self._reading.error(path, f'"{path.text}" names no field', hint)
        elif root == "event" and (len(rest) > 1 or rest[0] not in _EVENT_FIELDS):
            self._reading.error(path, f'event has no field "{".".join(rest)}"', suggest_or_list(rest[0], _EVENT_FIELDS))
        elif root == "vars" and lookup({name: each.value for name, each in self._vars.items()}, rest) is MISSING:
            self._reading.error(path, f'vars has no "{".".join(rest)}"', suggest_or_list(rest[0], self._vars))
        elif root == "delivery" and (len(rest) > 1 or rest[0] not in _DELIVERY_FIELDS):
            hint = suggest_or_list(rest[0], _DELIVERY_FIELDS)
            self._reading.error(path, f'delivery has no field "{".".join(rest)}"', hint)
        elif root == "headers" and (len(rest) > 1 or rest[0] != rest[0].lower()):
            self._reading.error(
                path,
                f'no header is called "{".".join(rest)}" here',
                "their names are in lower case: headers.x-webhook-event",
            )

    def _root_hint(self, root: str, rest: Sequence[str], sources: Sequence[str], roots: frozenset[str]) -> str:
        if root == "delivery":
            return "a delivery is known in entries of failed only"
        declaring = [source for source in sources if root in self.shortcuts(source)]
        if declaring:
            return f"not every source of this route has {root}: add source: {declaring[0]}"
        if suggestion := suggest(root, sorted(roots)):
            return suggestion
        return f"a field begins with one of {', '.join(sorted(roots))}: attrs.{'.'.join((root, *rest))}"

    # --- to whom, and what ---

    def _to(self, keys: SaidKeys) -> Sequence[Destination]:
        known = self._destinations
        found: dict[str, Destination] = {}
        for name in keys.to or ():
            if name.is_stand_in:
                continue
            if name.text not in known:
                self._reading.error(
                    name.node, f'unknown destination "{name.shown}"', suggest_or_list(name.shown, known)
                )
            elif name.text in found:
                hint = "name it once; two messages to it are two routes"
                self._reading.error(name.node, f'"{name.shown}" is named twice', hint)
            else:
                found[name.text] = known[name.text]
        return tuple(found.values())

    def _refuse_two_contents(self, keys: SaidKeys) -> None:
        contents = [content for content in CONTENTS if content in keys.written]
        if len(contents) > 1:
            message = f"a route says one thing: {' and '.join(contents)} are {len(contents)}"
            self._reading.error(keys.key_at(contents[1]), message, "keep one; a second message is a second route")
        if keys.to == () and contents:
            self._reading.error(
                keys.key_at(contents[0]),
                f'"{contents[0]}" is sent to nobody: to is []',
                "remove it, or name a destination",
            )

    def template_texts(self) -> Mapping[str, str]:
        """Every template file that the entries use, by name, with what it includes."""
        return {name: text for templates in self._templates.values() for name, text in templates.texts.items()}

    def _templates_for(self, roots: frozenset[str]) -> Templates:
        if roots not in self._templates:
            self._templates[roots] = Templates(self._folder, roots=roots, hide=self._hide)
        return self._templates[roots]

    def _message(self, keys: SaidKeys, destination: Destination, templates: Templates, fallback: str | None) -> Message:
        self._refuse_shape(keys, destination.kind)
        self._check_headers(keys, destination)
        return Message(
            method=keys.method,
            path=self._path(keys, templates),
            query=self._named(keys.query, templates.query),
            headers=self._named(keys.headers, templates.header),
            content=self._content(keys, destination.kind, templates, fallback),
            options=self._options(destination, templates),
            counts="delivery.count" in (keys.text.text if keys.text else ""),
        )

    def _options(self, destination: Destination, templates: Templates) -> tuple[tuple[str, Renderer[Text]], ...]:
        """The options of a destination that depend on the event."""
        known = destination.kind.options
        written = self._written_destinations[destination.name].options
        found = (
            (name, self._compiled(templates.text, source, known[name].escape))
            for name, source in written.items()
            if name in known and not is_literal(source.text)
        )
        return tuple((name, renderer) for name, renderer in found if renderer is not None)

    def _refuse_shape(self, keys: SaidKeys, kind: Kind) -> None:
        takes_headers = kind.name in keys_of(DestinationKeys)["headers"][1].types
        meaningless = () if kind.shapes_request else ("method", "path", "query", "form")
        for key in (*meaningless, *(() if takes_headers else ("headers",))):
            if key in keys.written:
                message = f'"{key}" means nothing to a destination of type {kind.name}'
                self._reading.error(keys.key_at(key), message, "remove it, or send this to an http destination")

    def _check_headers(self, keys: SaidKeys, destination: Destination) -> None:
        for name in keys.headers:
            checks.header_name(self._reading, name, keys.name_at("headers", name), destination.target.auth)
        headers = {name.lower(): value for name, value in destination.target.headers}
        headers |= {name.lower(): value.text for name, value in keys.headers.items()}
        content = _content_of(keys)
        if content is not None and _contradicts(headers.get("content-type", ""), keys):
            place = keys.at("headers") if "headers" in keys.written else keys.key_at(content)
            message = f'the content-type of the headers contradicts "{content}" of "{keys.called}"'
            self._reading.error(place, message, "remove the header, or change the content")

    def _path(self, keys: SaidKeys, templates: Templates) -> Renderer[str] | None:
        if keys.path is None:
            return None
        if "://" in literal_text(keys.path.text):
            hint = "write only what stands behind it, or name another destination"
            self._reading.error(keys.at("path"), '"path" is appended to the url of the destination', hint)
        if "?" in literal_text(keys.path.text):
            hint = "write the parameters under query: {limit: 10}"
            self._reading.error(keys.at("path"), 'a ? in "path" would be a part of the path', hint)
        return self._compiled(templates.path, keys.path)

    def _named(
        self, written: Mapping[str, TemplateText], compile_one: Callable[[TemplateText], Renderer[str]]
    ) -> tuple[tuple[str, Renderer[str]], ...]:
        found = ((name, self._compiled(compile_one, source)) for name, source in written.items())
        return tuple((name, renderer) for name, renderer in found if renderer is not None)

    def _content(
        self, keys: SaidKeys, kind: Kind, templates: Templates, fallback: str | None
    ) -> Renderer[Content] | None:
        if keys.text is not None:
            return self._compiled(templates.text, keys.text, kind.escape)
        if keys.body is not None and keys.body.is_empty:
            return lambda _facts: Raw(b"", "")
        if keys.body is not None:
            return self._compiled(templates.tree, keys.body.tree, kind.escape, kind.escapes)
        if keys.form is not None:
            return self._compiled(templates.form, keys.form.tree)
        if keys.template is not None:
            if keys.template.text.endswith(_HTTP_ENDINGS) and not kind.shapes_request:
                message = f'the template "{keys.template.shown}" means nothing to a destination of type {kind.name}'
                self._reading.error(keys.template.place, message, "write .json.j2 or .txt.j2, or text")
                return None
            return self._template_file(keys.template, kind, templates)
        if not kind.needs_text or _content_of(keys) is not None:
            return None
        if fallback is not None:
            return templates.text(TemplateText(fallback, keys.place), kind.escape)
        message = f'"{keys.called}" says nothing to a {kind.name} destination'
        self._reading.error(keys.place, message, "write text, body or template: raw events are not for people")
        return None

    def _template_file(self, name: Words, kind: Kind, templates: Templates) -> Renderer[Content] | None:
        try:
            return templates.file(name.text, name.place, kind.escape)
        except TemplateRefused as refused:
            # A name from outside shows as its reference.
            message = refused.problem.message.replace(name.text, name.shown) if name.text else refused.problem.message
            self._reading.report.add(replace(refused.problem, message=message))
            return None

    def _compiled(self, compile_one: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            return compile_one(*args, **kwargs)
        except TemplateRefused as refused:
            self._reading.report.add(refused.problem)
            return None


def _content_of(keys: SaidKeys) -> str | None:
    return next((content for content in CONTENTS if content in keys.written), None)


def _contradicts(content_type: str, keys: SaidKeys) -> bool:
    """JSON content under another name, or a text under JSON's."""
    if not content_type or "{{" in content_type:
        return False
    template = "" if keys.template is None else keys.template.text
    if keys.form is not None or template.endswith(".form.j2"):
        return not content_type.strip().lower().startswith(FORM_TYPE)
    is_text = template.endswith((".txt.j2", ".html.j2"))
    return is_text == bool(_JSON_TYPE.fullmatch(content_type))
