"""Bodies that make the most work of their bytes, and requests around them."""

import json
from collections.abc import Iterator

#: Repeated to fill a text.
FILLINGS = {
    "x": "x", "é": "é", "emoji": "😀", "line breaks": "\n", "controls": "\x01", "bidi marks": "\u202e", "separators": "\u2028",
    "blank": " ", "<": "<", "&": "&", "*": "*", "@": "@", "@everyone": "@everyone ", "`": "`", "[": "[", "{": "{", "\\": "\\",
    "quotes": '"', "addresses": "https://a.example/b_c ", "entities": "&lt;", "tags": "<b>", "digits": "0", "dots": ".",
    "list marks": "- ", "numbers": "1. ", "words": "ab ", "slashes": "../", "percent": "%2e", "mixed": "<*_`@\n\\[{&é😀\u202ex ",
}  # fmt: skip
#: Repeated to fill a list, in JSON.
ELEMENTS = {
    "[]": "[]", "{}": "{}", "numbers": "1", "floats": "1.5e10", "long numbers": "123456789012345678901234567890", "texts": '"ab"',
    "empty texts": '""', "null": "null", "objects": '{"id":1}', "objects with texts": '{"type":"section","text":"<*_>"}',
    "deep lists": "[" * 100 + "]" * 100, "deep objects": '{"a":' * 100 + "1" + "}" * 100, "long texts": json.dumps("<*_`@\n" * 200),
    "pairs": "[1,2]", "blocks": '{"type":"section","text":{"type":"mrkdwn","text":"<*>"}}',
}  # fmt: skip


def payloads(size: int) -> Iterator[tuple[str, bytes]]:
    """Bodies of ``size`` bytes, each with one kind of load."""

    def body(text: str = '"x"', elements: str = "", members: str = "") -> bytes:
        twice = f'"list":[{elements}],"copy":[{elements}]' if elements else '"list":["a","b"],"copy":[]'
        return f'{{"type":"t.x","id":"1","text":{text},{twice},"object":{{{members}}}}}'.encode()

    for name, filling in FILLINGS.items():
        written = json.dumps(filling, ensure_ascii=False)[1:-1]
        yield f"a text of {name}", body(text=f'"{written * ((size - 200) // len(written.encode()))}"')
    for name, element in ELEMENTS.items():
        yield f"a list of {name}", body(elements=",".join([element] * ((size - 200) // 2 // (len(element) + 1))))
    for name, element in ELEMENTS.items():
        # Few enough that containers are not too many, and no limit is reached by loops.
        yield f"9,000 {name}", body(elements=",".join([element] * min(9_000, (size - 200) // 2 // (len(element) + 1))))
    count = (size - 200) // 12
    yield "many keys", body(members=",".join(f'"{n:07}":1' for n in range(count)))
    yield "many keys of lists", body(members=",".join(f'"{n:07}":[]' for n in range(count)))
    yield "a long key", f'{{"type":"t.x","id":"1","text":"x","list":[],"{"k" * (size - 200)}":1}}'.encode()
    keys = ",".join('"' + f"{n}".ljust(size // 65, "k") + '":1' for n in range(64))
    yield "long keys", f'{{"text":"x","object":{{{keys}}}}}'.encode()
    yield "keys of escapes", b'{"text":"x","object":{"' + rb"\u00e9" * (size // 6 - 20) + b'":1}}'
    yield "a wide list", b"[" + b",".join([b"[]"] * (size // 3)) + b"]"
    yield "a deep list", b"[" + b",".join([b"[" * 127 + b"]" * 127] * (size // 255)) + b"]"
    yield "a number", b'{"text":1.' + b"9" * (size - 20) + b"}"
    yield "brackets in a text", b'{"text":"' + b"[{" * ((size - 20) // 2) + b'"}'
    yield "brackets and quotes in a text", b'{"text":"' + b'[\\"' * ((size - 20) // 3) + b'"}'


def forms(size: int) -> Iterator[tuple[str, str, bytes]]:
    """Bodies of ``size`` bytes that are not JSON: name, content type, bytes."""
    form, most = "application/x-www-form-urlencoded", 1_000
    each = size // most - 8
    yield "a form of escapes", form, b"a=" + b"%2e" * (size // 3 - 2)
    yield "a form of broken escapes", form, b"a=" + b"%" * (size - 4)
    yield "a form of blanks", form, b"a=" + b"+" * (size - 4)
    yield "a form of many fields", form, b"&".join([b"f%03d=" % n + b"%C3%A9" * (each // 6) for n in range(most)])
    yield "a form of one name", form, b"&".join([b"f=" + b"x" * each] * most)
    yield "a form of separators", form, b"&" * size
    yield "a form of too many fields", form, b"a=b&" * (size // 4)
    yield "a form with JSON in it", form, b"payload=%5B" + b",".join([b"1"] * (size // 2 - 20)) + b"%5D"
    multipart = "multipart/form-data; boundary=x"
    parts = [
        b'--x\r\nContent-Disposition: form-data; name="f%d"\r\n\r\n%s\r\n' % (n, b"x" * each) for n in range(most - 1)
    ]
    yield "multipart of many fields", multipart, b"".join(parts)[: size - 10] + b"--x--\r\n"
    part = b'--x\r\nContent-Disposition: form-data; name="f"\r\n\r\n'
    yield "multipart of line breaks", multipart, part + b"\r\n" * (size // 2 - 60) + b"\r\n--x--\r\n"
    yield "multipart of almost boundaries", multipart, part + b"\r\n--" * (size // 4 - 60) + b"\r\n--x--\r\n"
    header = b"--x\r\n" + b"a: b\r\n" * (size // 6 - 20)
    yield "multipart of headers", multipart, header + b"\r\n\r\n--x--\r\n"
    yield "multipart without an end", multipart, b"--x\r\n" * (size // 5)
    for kind in ("text/plain", "application/xml"):
        yield f"{kind} of emoji", kind, "😀".encode() * (size // 4)
        yield f"{kind} of bytes", kind, b"\xff" * size
    yield "a text that is nearly JSON", "text/plain", b'{"a":"' + b"x" * (size - 20)
