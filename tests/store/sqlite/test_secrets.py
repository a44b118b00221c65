"""The file of the secrets that senders chose."""

import asyncio

import pytest

from gateway.errors import StoreUnavailable
from gateway.model import Secret
from gateway.store.sqlite.secrets import SecretsFile


def test_what_a_crash_left_of_a_line_costs_no_other_secret(tmp_path):
    file = tmp_path / "secrets"
    secrets = SecretsFile(file)
    assert secrets.pairs() == []
    secrets.extend([("a", Secret("one"))])
    with file.open("ab") as cut:
        cut.write(b'{"source": "a", "secr')
    secrets.extend([("b", Secret("three")), ("a", Secret("two"))])
    secrets.extend([("a", Secret("two"))])
    kept = [("a", Secret("one")), ("a", Secret("two")), ("b", Secret("three"))]
    assert SecretsFile(file).pairs() == kept


def test_the_file_of_secrets_may_not_be_a_link(tmp_path):
    (tmp_path / "elsewhere").write_bytes(b'{"source": "a", "secret": "one"}\n')
    (tmp_path / "secrets").symlink_to(tmp_path / "elsewhere")
    secrets = SecretsFile(tmp_path / "secrets")
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        asyncio.run(secrets.of("a"))
    with pytest.raises(StoreUnavailable):
        asyncio.run(secrets.add("a", Secret("two")))
    assert (tmp_path / "elsewhere").read_bytes().count(b"\n") == 1
