"""What the URL of a PostgreSQL store says, and that nobody sees its password."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.errors import StoreError
from gateway.store.postgres.address import Address, shown


@pytest.mark.parametrize(
    ("url", "dsn", "name"),
    [
        ("postgresql://u:secret@h:5432/db", "postgresql://u:secret@h:5432/db", "postgresql://u@h:5432/db"),
        ("postgres://u@h/db?pooler=true", "postgres://u@h/db", "postgres://u@h/db"),
        (
            "postgresql://u:secret@h1:5432,h2:5433/db?sslmode=require&synchronous_commit=off",
            "postgresql://u:secret@h1:5432,h2:5433/db?sslmode=require",
            "postgresql://u@h1:5432,h2:5433/db?sslmode=require",
        ),
        ("postgresql:///db?host=/run/pg", "postgresql:///db?host=/run/pg", "postgresql:///db?host=/run/pg"),
        ("postgresql://u@h/db?password=secret", "postgresql://u@h/db?password=secret", "postgresql://u@h/db"),
    ],
)
def test_a_url_is_what_to_connect_to_and_a_name_without_the_password(url, dsn, name):
    address = Address.of(url)
    assert (address.dsn.reveal(), address.name) == (dsn, name)
    assert "secret" not in repr(address)


def test_our_own_parameters_are_understood_and_not_passed_on():
    address = Address.of("postgresql://u@h/db?pooler=true&synchronous_commit=off")
    assert (address.pooler, address.may_lose, address.direct) == (True, True, None)
    beside = Address.of("postgresql://u@pool/db?pooler=true", direct="postgresql://u:secret@h/db")
    assert beside.direct.reveal() == "postgresql://u:secret@h/db"
    assert Address.of("postgresql://u@h/db").direct.reveal() == "postgresql://u@h/db"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://h", "is not the URL of a PostgreSQL database"),
        ("postgresql://u:sec@ret@h/db", "%40 for an @"),
        ("postgresql://u:sec/ret@h/db", "%2F for a /"),
        ("postgresql://[h/db", "is not the URL of a PostgreSQL database"),
        ("postgresql://u@h/db?pooler=yes", "pooler=yes is not valid: write true or false"),
        ("postgresql://u@h/db?pooler", "has parameters that are not name=value"),
        ("postgresql://u@h:port/db", "is not the URL of a PostgreSQL database"),
    ],
)
def test_a_url_that_is_not_valid_is_refused(url, message):
    with pytest.raises(StoreError, match=message) as refused:
        Address.of(url)
    assert "ret@" not in str(refused.value)


@settings(max_examples=500)
@given(
    password=st.text(st.characters(exclude_categories=["Cs"]), min_size=5).map(lambda text: f"PASS{text}WORD"),
    rest=st.sampled_from(["h/db", "h:5432/db?sslmode=require", "h1,h2/db", ""]),
)
@example(password="PASS/?WORD", rest="h/db")
@example(password="PASS/x?a=WORD", rest="h/db")
def test_no_password_is_shown_however_it_is_spelled(password, rest):
    url = f"postgresql://u:{password}@{rest}"
    try:
        said = Address.of(url).name
    except StoreError as error:
        said = str(error)
    for text in (said, shown(url)):
        assert "PASS" not in text
        assert "WORD" not in text
