"""What is left for the garbage collector: objects that refer to each other in a circle."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def leaves_none() -> Iterator[None]:
    """Fail if anything inside left such objects."""
    gc.collect()
    gc.disable()
    try:
        yield
        assert gc.collect() == 0
    finally:
        gc.enable()
