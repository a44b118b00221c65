"""``gateway schema``: the JSON Schema of routes.yaml, for editors."""

import json

from gateway.config.jsonschema import json_schema


def schema() -> int:
    """Print the JSON Schema."""
    print(text(), end="")
    return 0


def text() -> str:
    """The JSON Schema as a file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
