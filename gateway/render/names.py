"""What the templates of one message see: the facts of its event, the functions, and the budget that they share."""

from collections.abc import Mapping

from jinja2 import Environment
from jinja2.runtime import Context

from gateway.render.filters import FUNCTIONS
from gateway.render.sandbox import BUDGET, Budget


class Namespace(dict[str, object]):
    """All names that the templates of one message see, and the budget that they share."""

    def __init__(self, facts: Mapping[str, object]) -> None:
        super().__init__(FUNCTIONS)
        self.update(facts)
        self.budget = self[BUDGET] = Budget()

    @classmethod
    def of(cls, facts: Mapping[str, object]) -> "Namespace":
        """``facts`` if they are a Namespace, else a new one with them."""
        return facts if isinstance(facts, cls) else cls(facts)


class Seen(Context):
    """What a filter sees that a closure calls. No closure sets a name, so it has nothing else of a context."""

    def __init__(self, sandbox: Environment, names: Namespace) -> None:
        self.environment = sandbox
        self.parent = names
