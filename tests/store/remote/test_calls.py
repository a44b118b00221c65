"""The calls of the contract that cross the socket."""

import inspect

import pytest

from gateway import errors
from gateway.errors import BodyGone, GatewayError, StoreError, StoreFull
from gateway.store.awaiting import Expectations
from gateway.store.base import Store
from gateway.store.cluster import Cluster
from gateway.store.learned import LearnedSecrets
from gateway.store.remote.calls import CALLS, error_of, said_of

#: What needs no asking, or is done at this end.
HERE = {"breathe", "close", "holds_changed"}


def methods(contract):
    return {
        name for name, each in inspect.getmembers(contract) if inspect.isfunction(each) and not name.startswith("_")
    }


def test_every_method_of_the_contract_crosses():
    of_parts = (
        {f"cluster.{name}" for name in methods(Cluster)}
        | {f"secrets.{name}" for name in methods(LearnedSecrets)}
        | {f"expectations.{name}" for name in methods(Expectations)}
    )
    assert set(CALLS) == methods(Store) - HERE | of_parts


@pytest.mark.parametrize(
    "kind",
    [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, StoreError | errors.Conflict | errors.QueryRefused)
    ],
)
def test_an_error_of_a_store_is_itself_at_the_other_end(kind):
    crossed = error_of(*said_of(kind("what is wrong: what to do")))
    assert type(crossed) is kind
    assert str(crossed) == "what is wrong: what to do"


def test_an_unknown_id_is_a_key_error_with_the_id():
    assert error_of(*said_of(KeyError("evt_1"))).args == ("evt_1",)


def test_a_defect_at_the_other_end_is_an_error_of_the_store_that_names_it():
    crossed = error_of(*said_of(ZeroDivisionError("division by zero")))
    assert type(crossed) is StoreError
    assert "ZeroDivisionError: division by zero" in str(crossed)


def test_an_error_that_only_looks_like_one_of_ours_is_not_taken_for_it():
    class StoreFullish(StoreFull):
        """Of another module."""

    StoreFullish.__name__ = "BodyGone"
    assert type(error_of(*said_of(StoreFullish("no")))) is StoreError
    assert issubclass(BodyGone, GatewayError)
