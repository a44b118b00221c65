"""What an expression of JavaScript or Python is in Jinja. Pure; empty where it cannot be said."""

import re
from typing import Final

QUOTED: Final = re.compile(r"\"[^\"]*\"|'[^']*'")
_OPENING, _CLOSING = "([{", ")]}"
_EQUAL: Final = re.compile(r"([!=])==")


def ternary(text: str) -> str:
    """``a?b:c`` as ``b if a else c``, nested ones in parentheses; empty if there is none."""
    question = outside(text, "?", 0)
    while question >= 0 and text[question + 1 : question + 2] in (".", "?"):
        # a?.b and a ?? b
        question = outside(text, "?", question + 2)
    if question < 0:
        return ""
    colon = _colon(text, question + 1)
    if colon < 0:
        return ""
    condition, then, otherwise = (
        part.strip() for part in (text[:question], text[question + 1 : colon], text[colon + 1 :])
    )
    condition = _EQUAL.sub(r"\1=", condition).replace("&&", " and ").replace("||", " or ").replace("  ", " ")
    if not condition or not otherwise:
        return ""
    if not then:
        return f"{condition} | default({otherwise}, true)"
    written = f"{_inner(then)} if {condition} else {_inner(otherwise)}"
    # A question inside another expression is still one of JavaScript.
    return "" if "?" in QUOTED.sub("", written) else written


def _inner(text: str) -> str:
    # The first bracket may be closed before the last one: (a) + (b)
    bare = text[1:-1] if text.startswith("(") and outside(text, ")", 1) == len(text) - 1 else text
    nested = ternary(bare)
    return f"({nested})" if nested else text


def _colon(text: str, at: int) -> int:
    """Where the colon of a question is; each question inside has its own."""
    depth = 0
    while at < len(text):
        question, colon = outside(text, "?", at), outside(text, ":", at)
        if colon < 0:
            return -1
        if 0 <= question < colon:
            depth, at = depth + 1, question + 1
        elif depth:
            depth, at = depth - 1, colon + 1
        else:
            return colon
    return -1


def outside(text: str, sign: str, at: int) -> int:
    """Where a sign is outside of texts and brackets; -1 if it is nowhere."""
    depth = 0
    while at < len(text):
        if quoted := QUOTED.match(text, at):
            at = quoted.end()
            continue
        if text[at] == sign and not depth:
            return at
        depth += (text[at] in _OPENING) - (text[at] in _CLOSING)
        at += 1
    return -1


# --- Python ---

_COMPREHENSION: Final = re.compile(
    r"(?P<made>[^\[\](){}]+?)\s+for\s+(?P<one>\w+)\s+in\s+(?P<values>[\w.]+(?:\[[^\]]*\])*)(?:\s+if\s+(?P<only>.+?))?"
)
_AROUND: Final = re.compile(
    r"(?:(?P<joined>\"[^\"]*\"|'[^']*')\.join\(|(?P<function>sum|any|all|list|len|max|min)\()?[\[(]?(?P<inner>.*?)[\])]*(?P<after>\s*\|.*)?",
    re.DOTALL,
)


def comprehension(text: str) -> str:
    """``[x.name for x in payload.items if x.ok]`` as filters; empty if it is none, or a loop says it better."""
    around = _AROUND.fullmatch(text.strip())
    found = _COMPREHENSION.fullmatch(around["inner"].strip()) if around else None
    if around is None or found is None:
        return ""
    field = re.fullmatch(rf"{found['one']}\.([\w.]+)", found["made"].strip())
    only = re.fullmatch(rf"(not\s+)?{found['one']}\.([\w.]+)", (found["only"] or "").strip())
    if (found["only"] and only is None) or (field is None and found["made"].strip() != found["one"]):
        return _as_loop(found)
    written, rest = found["values"], _closed(around["after"] or "")
    if only is not None:
        written += f' | {"rejectattr" if only[1] else "selectattr"}("{only[2]}")'
    if around["function"] == "sum" and field is not None:
        return f'{written} | sum_of("{field[1]}") {rest}'.rstrip()
    if around["function"] in ("any", "all"):
        return (
            f'({written} | selectattr("{field[1]}") | list | length) > 0'
            if field and around["function"] == "any"
            else ""
        )
    written += f' | map("{field[1]}")' if field is not None else ""
    after = {"len": " | list | length", "max": " | max", "min": " | min"}.get(around["function"] or "", "")
    joined = f" | join({around['joined']})" if around["joined"] else ""
    return f"{written}{after}{joined} {rest}".rstrip()


def _closed(text: str) -> str:
    """What follows a comprehension, without the brackets at its end that were opened before it."""
    while text.count(")") > text.count("(") or text.count("]") > text.count("["):
        text = text[:-1]
    return text.strip()


def _as_loop(found: re.Match[str]) -> str:
    """A loop, where no filter makes the same."""
    only = f" if {found['only']}" if found["only"] else ""
    return f"{{% for {found['one']} in {found['values']}{only} %}}{{{{ {found['made'].strip()} }}}}{{% endfor %}}"
