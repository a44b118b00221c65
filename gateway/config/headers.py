"""The header fields of an event that the templates of an entry read."""

from collections.abc import Iterator, Mapping

from gateway.config.schema.destinations import DestinationKeys
from gateway.config.schema.entries import EntryKeys, MessageKeys
from gateway.config.text.disk import TEMPLATES
from gateway.errors import Place
from gateway.render import TemplateText, Tree
from gateway.render.reads import Reads, reads_of


def headers_read(
    keys: EntryKeys, destinations: Mapping[str, DestinationKeys], files: Mapping[str, str]
) -> Iterator[tuple[str, Place]]:
    """Each field, in lower case, and the line that reads it. Every template compiles; ``files`` are those of the folder."""
    messages = (keys, *(keys.send or ()))
    named = {name.text: None for each in messages for name in each.to or ()}
    options = [text for name in named if name in destinations for text in destinations[name].options.values()]
    opened = [each.template.text for each in messages if each.template is not None]
    for text in (*_conditions(keys), *options, *(text for each in messages for text in _texts(each))):
        found = _reads(text)
        yield from found.headers
        opened += found.files
    for name in opened:
        found = _reads(TemplateText(files.get(name, ""), Place(f"{TEMPLATES}/{name}", 1)))
        yield from found.headers
        # The list grows while it is walked: what a file includes is read after it, and once.
        opened += [other for other in found.files if other not in opened]


def _reads(text: TemplateText) -> Reads:
    # A thousand texts of which none has such a word are not parsed again.
    is_worth_it = any(word in text.text for word in ("headers", "include", "import"))
    return reads_of(text.text, text.place) if is_worth_it else Reads()


def _conditions(keys: EntryKeys) -> Iterator[TemplateText]:
    if keys.condition is not None:
        yield TemplateText(f"{{{{ {keys.condition.text} }}}}", keys.condition.place)
    if keys.once is not None and keys.once.per is not None:
        yield keys.once.per


def _texts(keys: MessageKeys) -> Iterator[TemplateText]:
    yield from filter(None, (keys.path, keys.text))
    yield from (*keys.query.values(), *keys.headers.values())
    for body in filter(None, (keys.body, keys.form)):
        yield from _leaves(body.tree)


def _leaves(tree: Tree) -> Iterator[TemplateText]:
    match tree:
        case TemplateText():
            yield tree
        case Mapping():
            yield from (text for each in tree.values() for text in _leaves(each))
        case list() | tuple():
            yield from (text for each in tree for text in _leaves(each))
