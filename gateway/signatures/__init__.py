"""Is this request authentic? Pure and total: Verified, or a reason that is for our log only.

A ``Scheme`` is what a sender's documentation says, as data. A ``Verifier`` is one or more schemes with the operator's
secrets. Adding a sender needs no code here.
"""

from gateway.signatures.checks import stand_in_for
from gateway.signatures.credentials import Credential, KeyRefused
from gateway.signatures.message import SignedRefused, uses
from gateway.signatures.request import RawHeaders, Request
from gateway.signatures.schemes import ALGORITHMS, Scheme, Signature, Timestamp
from gateway.signatures.signing import CannotSign, Signed
from gateway.signatures.timestamps import UNITS
from gateway.signatures.verifier import VERIFIED, Refused, Verified, Verifier, Wanted

__all__ = [
    "ALGORITHMS",
    "UNITS",
    "VERIFIED",
    "CannotSign",
    "Credential",
    "KeyRefused",
    "RawHeaders",
    "Refused",
    "Request",
    "Scheme",
    "Signature",
    "Signed",
    "SignedRefused",
    "Timestamp",
    "Verified",
    "Verifier",
    "Wanted",
    "stand_in_for",
    "uses",
]
