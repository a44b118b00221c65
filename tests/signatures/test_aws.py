"""Signature Version 4 against AWS's published test suite, and against libcurl, which signs what it has in memory."""

import threading
from datetime import UTC, datetime

import pycurl
import pytest

from gateway.model import HttpRequest, Secret
from gateway.signatures.aws import AwsSigner
from tests.sink import Sink, answer

#: What every case of the suite is signed at.
AT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp()
HOST = "https://example.amazonaws.com"
FORM = (("content-type", "application/x-www-form-urlencoded"),)
UNRESERVED = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TOKEN = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"


def signer(service: str = "service", token: str = "") -> AwsSigner:
    return AwsSigner(
        service=service,
        region="us-east-1",
        access_key_id=Secret("AKIDEXAMPLE"),
        secret_access_key=Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        session_token=Secret(token) if token else None,
    )


# https://github.com/awslabs/aws-c-auth/tree/main/tests/aws-signing-test-suite/v4: the path and query, more headers, the
# signed headers and the signature. Without the two whose path is not percent-encoded, as every address here is.
SUITE = {
    "get-vanilla": ("/", (), "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    "get-vanilla-query-order-key-case": (
        "/?Param2=value2&Param1=value1",
        (),
        "",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    "get-vanilla-query-order-encoded": (
        "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
        (),
        "",
        "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
    ),
    "get-vanilla-query-unreserved": (
        f"/?{UNRESERVED}={UNRESERVED}",
        (),
        "",
        "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
    ),
    "get-vanilla-utf8-query": (
        "/?%E1%88%B4=bar",
        (),
        "",
        "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
    ),
    "get-slashes-normalized": (
        "//example//",
        (),
        "",
        "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
    ),
    "get-slash-pointless-dot-normalized": (
        "/./example",
        (),
        "",
        "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5",
    ),
    "get-relative-relative-normalized": (
        "/example1/example2/../..",
        (),
        "",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    "get-header-value-trim": (
        "/",
        (("my-header1", " value1"), ("my-header2", ' "a   b   c"')),
        "my-header1;my-header2;",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
}


@pytest.mark.parametrize("name", SUITE)
def test_a_request_of_the_published_suite_gets_the_published_signature(name):
    target, headers, more, signature = SUITE[name]
    signed = signer().sign(HttpRequest(method="GET", url=HOST + target, headers=headers), "", AT)
    assert dict(signed.headers)["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders=host;{more}x-amz-date, Signature={signature}"
    )


def test_the_token_of_a_temporary_key_is_sent_and_signed():
    signed = dict(signer(token=TOKEN).sign(HttpRequest(method="GET", url=HOST, headers=()), "", AT).headers)
    assert signed["x-amz-security-token"] == TOKEN
    assert signed["authorization"].endswith(
        "SignedHeaders=host;x-amz-date;x-amz-security-token, "
        "Signature=07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"
    )


def test_the_body_and_its_type_are_signed():
    request = HttpRequest(method="POST", url=HOST, headers=FORM, body=b"Param1=value1")
    signed = dict(signer().sign(request, "", AT).headers)["authorization"]
    assert signed.endswith("Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a")


# --- what is sent ---


def test_the_host_is_sent_as_it_is_signed():
    def host(url: str) -> str:
        return dict(signer().sign(HttpRequest(method="GET", url=url, headers=()), "", AT).headers)["host"]

    assert host("https://a.example:443/x") == host("https://a.example/x") == host("http://a.example:80") == "a.example"
    assert host("https://a.example:8443/x") == "a.example:8443"


def test_a_host_that_the_file_names_is_the_one_that_is_signed():
    named = HttpRequest(method="GET", url="https://vpce.example/x", headers=(("host", "api.example"),))
    other = HttpRequest(method="GET", url="https://api.example/x", headers=())
    one, two = (dict(signer().sign(each, "", AT).headers) for each in (named, other))
    assert one["host"] == two["host"] and one["authorization"] == two["authorization"]


def test_a_query_is_sent_in_the_spelling_that_is_signed_and_in_its_own_order():
    request = HttpRequest(method="GET", url=f"{HOST}/?b=x+y&a=%7e&flag&c=%2f!", headers=())
    assert signer().sign(request, "", AT).url == f"{HOST}/?b=x%20y&a=~&flag=&c=%2F%21"


def test_what_something_on_the_way_may_change_is_not_signed():
    headers = (
        ("user-agent", "gateway/1"),
        ("accept-encoding", "identity"),
        ("traceparent", "00-1"),
        ("webhook-id", "dlv_1"),
    )
    signed = dict(signer().sign(HttpRequest(method="GET", url=HOST, headers=headers), "", AT).headers)
    assert "SignedHeaders=host;webhook-id;x-amz-date," in signed["authorization"]
    assert dict(headers).items() <= signed.items()


def test_a_signature_from_before_is_replaced():
    once = signer().sign(HttpRequest(method="GET", url=HOST, headers=()), "", AT - 900)
    assert (
        dict(signer().sign(once, "", AT).headers)["authorization"]
        == dict(signer().sign(HttpRequest(method="GET", url=HOST, headers=()), "", AT).headers)["authorization"]
    )


# --- libcurl, the other implementation at hand ---


def signed_by_libcurl(sink: Sink, service: str, target: str, body: bytes) -> str:
    """The authorization that libcurl makes for the same request: it signs a body that it has in memory."""
    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, sink.url + target)
    curl.setopt(pycurl.AWS_SIGV4, f"aws:amz:us-east-1:{service}")
    curl.setopt(pycurl.USERPWD, "AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    curl.setopt(pycurl.HTTPHEADER, ["X-Amz-Date: 20150830T123600Z", "content-type: application/json"])
    curl.setopt(pycurl.POSTFIELDS, body)
    curl.setopt(pycurl.NOPROXY, "*")
    curl.setopt(pycurl.WRITEFUNCTION, lambda _: None)
    thread = threading.Thread(target=curl.perform)
    thread.start()
    thread.join(30)
    curl.close()
    return sink.wait_for(1)[-1].headers["authorization"]


@pytest.mark.parametrize("service", ["execute-api", "s3"])
@pytest.mark.parametrize("target", ["/", "/a%20b/c?z=1&a=x%2Fy&b="], ids=["plain", "with a query"])
def test_libcurl_makes_the_same_signature(service, target):
    body = '{"name": "Zoë"}'.encode()
    with Sink(answer(200)) as sink:
        theirs = signed_by_libcurl(sink, service, target, body)
        headers = (("content-type", "application/json"),)
        request = HttpRequest(method="POST", url=sink.url + target, headers=headers, body=body)
        ours = dict(signer(service).sign(request, "", AT).headers)["authorization"]
    assert ours == theirs
