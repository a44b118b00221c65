"""Which certificates the system trusts: handed to libcurl explicitly, since the library in its wheel may look elsewhere."""

import os
import ssl
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from gateway.egress.door import Door
from gateway.errors import TLSFailed

#: Where distributions keep their bundle.
BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def bundle(environ: Mapping[str, str] = os.environ) -> str:
    """The file of the certificates that the system trusts; ``SSL_CERT_FILE`` names another. Raises TLSFailed."""
    named = environ.get("SSL_CERT_FILE", "")
    if named:
        if not _is_file(named):
            raise TLSFailed(f"TLS: SSL_CERT_FILE names {named}, which cannot be read: correct or unset it")
        return named
    found = next(filter(_is_file, _places()), None)
    if found is None:
        raise TLSFailed("TLS: no certificates to trust were found: install ca-certificates, or set SSL_CERT_FILE")
    return found


def bundle_for(door: Door) -> str:
    """The bundle where something is verified by it: a destination without a CA of its own, or a proxy. Raises TLSFailed."""
    return "" if door.ca and not door.proxy.startswith("https:") else bundle()


@cache
def _places() -> tuple[str, ...]:
    return tuple(_candidates())


def _candidates() -> Iterator[str]:
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        yield paths.cafile
    yield from BUNDLES


def _is_file(path: str) -> bool:
    return os.access(path, os.R_OK) and Path(path).is_file()
