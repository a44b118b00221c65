"""What the tests of access tokens are given: keys, settings, and a destination that asks for a token."""

import json
import time
from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.oauth_server import Client
from tests.sink import Behaviour, answer
from tests.world import World

SECRET_KEY = "4f1c0a2b9d8e7f60514233445566778899aabbccddeeff001122334455667788"
ENVIRON = {"GATEWAY_SECRET_KEY": SECRET_KEY}


@cache
def rsa_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def ec_key():
    return ec.generate_private_key(ec.SECP256R1())


def pem(key) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(key) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def guarded(server, then=None, *, refused=None) -> Behaviour:
    """Accepts a request whose token the server has issued and not revoked, and answers 401 to any other.

    ``refused``: a list that gets the Authorization header of each of those.
    """
    then = then or answer(200)

    async def run(wire) -> bool:
        header = wire.headers.get("authorization", "")
        if server.is_valid(header):
            return await then.run(wire)
        if refused is not None:
            refused.append(header)
        return await answer(401, b'{"error": "invalid_token"}').run(wire)

    return Behaviour(run)


def to_crm(sink, server, grant="client_credentials", **more) -> str:
    """A file with one destination that wants tokens of the server."""
    client = {
        "token_url": server.token_url,
        "client_id": Client.client_id,
        "client_secret": Client.secret,
        "scope": "contacts",
    }
    options = {name: more.pop(name) for name in ("retry", "timeout", "tls") if name in more}
    auth = {"oauth2": {name: value for name, value in {"grant": grant, **client, **more}.items() if value is not None}}
    destination = json.dumps({"url": sink.url, "auth": auth, **options})
    return (
        f"destinations: {{crm: {destination}}}\nroutes: [{{name: all, to: crm, body: {{id: '{{{{ attrs.id }}}}'}}}}]\n"
    )


def world(folder, text) -> World:
    """A gateway whose clock on the wall is right, for assertions are dated."""
    made = World(folder, text, environ=ENVIRON)
    made.clock.jump = time.time() - made.clock.now
    return made


def authorization(request) -> str:
    return request.headers["authorization"]
