"""One render: a compiled template runs, and whatever goes wrong is a RenderError with the template's line."""

import re
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, ParamSpec, TypeVar

from gateway.destinations.escapes import Escaper
from gateway.errors import Place, RenderError
from gateway.render.compiler import Compiled, Source
from gateway.render.names import Namespace
from gateway.render.sandbox import MAX_OUTPUT, Sandbox
from gateway.render.texts import line_of
from gateway.render.values import MAX_SECRET, Trouble
from gateway.wording import escaped

P = ParamSpec("P")
T = TypeVar("T")

#: Characters of an error.
MAX_MESSAGE: Final = 500


def renderer(
    compiled: Compiled, finish: Callable[[str], T] | None, source: Source, hide: Escaper
) -> Callable[[Mapping[str, object]], T]:
    """What ``finish`` makes of the text that a template prints, or without it the value that the template keeps.

    Raises RenderError with the template's line. The closure is tried first; if that fails, Jinja runs the template, which
    knows its lines.
    """

    def explained(names: Namespace) -> Any:
        text = printed(compiled, names)
        return names.budget.result if finish is None else finish(text)

    explain = total(explained, source, hide)
    closure = compiled.closure
    sandbox: Sandbox = compiled.template.environment  # type: ignore[assignment]  # as its compiler made it
    if closure is None:
        return lambda facts: explain(Namespace.of(facts))

    def render(facts: Mapping[str, object]) -> Any:
        names = facts if type(facts) is Namespace else Namespace(facts)
        budget = names.budget
        steps, work = budget.steps, budget.work
        try:
            text = closure(names, sandbox)
            if len(text) <= MAX_OUTPUT:
                return budget.result if finish is None else finish(text)
        except Exception:  # noqa: BLE001, S110  the template itself knows the line
            pass
        budget.steps, budget.work = steps, work
        return explain(names)

    return render


def printed(compiled: Compiled, names: Namespace) -> str:
    """The text that Jinja makes of a template. May raise anything."""
    context = compiled.template.new_context(names, shared=True)
    text = "".join(compiled.template.root_render_func(context))
    if len(text) > MAX_OUTPUT:
        raise Trouble(f"more than {MAX_OUTPUT:,} characters of output")
    return text


def total(render: Callable[P, T], source: Source, hide: Escaper) -> Callable[P, T]:
    """``render``, raising RenderError with the template's line and nothing else."""

    def render_or_explain(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return render(*args, **kwargs)
        except RenderError:
            raise
        except Exception as error:  # noqa: BLE001 - templates raise anything: {{ 1 / 0 }} is a ZeroDivisionError
            raise RenderError(_place(error.__traceback__, source), _message(error, hide)) from None

    return render_or_explain


def _place(traceback: TracebackType | None, source: Source) -> Place:
    """The innermost line of a template in the traceback; generated code knows the line it was made from."""
    place = Place(source.place.file, 0 if source.name else source.place.line)
    while traceback is not None:
        template = traceback.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            first = source.place if template.name is None else Place(template.filename, 1)
            place = line_of(first, template.get_corresponding_lineno(traceback.tb_lineno))
        traceback = traceback.tb_next
    return place


#: Python's types as ``values.kind`` names them.
_KINDS: Final = {
    "NoneType": "null",
    "str": "text",
    "int": "a number",
    "float": "a number",
    "bool": "a boolean",
    "dict": "an object",
    "list": "a list",
}


def _message(error: Exception, hide: Escaper) -> str:
    match error:
        case Trouble():
            return _shown(hide(error.message(hide)))
        case RecursionError():
            return "the template calls or nests itself too deeply"
        case MemoryError():
            return "the template needs too much memory"
    text = re.sub(
        r"'[<>]=?' not supported between instances of (\S+) and (\S+)",
        r"cannot compare \1 with \2",
        str(error)[:MAX_SECRET],
    )
    # In code, names that Python or we reserve are spelled list_() and _tojson().
    text = re.sub(r"\b_?([a-z0-9]+)_?\(\)", r"\1", text)
    text = re.sub(r"(\w+) got an unexpected keyword argument '(\w+)'", r'\1 has no argument "\2"', text)
    text = re.sub(r"'(\w+)'(?: object)?", lambda name: _KINDS.get(name[1], name[0]), text)
    return _shown(hide(text)) or type(error).__name__


def _shown(text: str) -> str:
    # Cut before as well: a value of the event can be megabytes.
    return escaped(text[:MAX_MESSAGE])[:MAX_MESSAGE]
