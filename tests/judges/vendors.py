"""Ask the vendors' own packages about requests. Runs in its own environment and exchanges JSON lines.

A line in: {"package", "do": "verify" | "sign", "secret", "url", "headers": {name: value}, "body", "now"}.
A line out: {"accepted": true | false, "why": "..."} or {"headers": {name: value}}.
"""

import io
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from datetime import UTC, datetime
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

Asked = Mapping[str, Any]


def standardwebhooks(asked: Asked) -> object:
    from standardwebhooks.webhooks import Webhook

    Webhook(asked["secret"]).verify(asked["body"], dict(asked["headers"]), json_parse=False)
    return True


def sign_standardwebhooks(asked: Asked) -> Mapping[str, str]:
    from standardwebhooks.webhooks import Webhook

    return _svix_headers("webhook", Webhook(asked["secret"]), asked)


def svix(asked: Asked) -> object:
    from svix.webhooks import Webhook

    Webhook(asked["secret"]).verify(asked["body"], dict(asked["headers"]))
    return True


def sign_svix(asked: Asked) -> Mapping[str, str]:
    from svix.webhooks import Webhook

    return _svix_headers("svix", Webhook(asked["secret"]), asked)


def _svix_headers(prefix: str, webhook: Any, asked: Asked) -> Mapping[str, str]:
    at = datetime.fromtimestamp(int(asked["now"]), tz=UTC)
    signature = webhook.sign("msg_judge", at, asked["body"])
    return {
        f"{prefix}-id": "msg_judge",
        f"{prefix}-timestamp": str(int(asked["now"])),
        f"{prefix}-signature": signature,
    }


def resend(asked: Asked) -> object:
    import resend as package

    headers = {name: asked["headers"].get(f"svix-{name}", "") for name in ("id", "timestamp", "signature")}
    package.Webhooks.verify({"payload": asked["body"], "headers": headers, "webhook_secret": asked["secret"]})
    return True


def openai(asked: Asked) -> object:
    from openai import OpenAI

    OpenAI(api_key="none").webhooks.verify_signature(asked["body"], asked["headers"], secret=asked["secret"])
    return True


def replicate(asked: Asked) -> object:
    from replicate.webhook import Webhooks, WebhookSigningSecret

    secret = WebhookSigningSecret(key=asked["secret"])
    Webhooks.validate(headers=dict(asked["headers"]), body=asked["body"], secret=secret, tolerance=300)
    return True


def stripe(asked: Asked) -> object:
    from stripe import WebhookSignature

    header = asked["headers"].get("stripe-signature")
    return WebhookSignature.verify_header(asked["body"], header, asked["secret"], 300)


def sign_stripe(asked: Asked) -> Mapping[str, str]:
    from stripe import WebhookSignature

    stamp = int(asked["now"])
    signature = WebhookSignature._compute_signature(f"{stamp}.{asked['body']}", asked["secret"])
    return {"stripe-signature": f"t={stamp},v1={signature}"}


def slack_sdk(asked: Asked) -> object:
    from slack_sdk.signature import SignatureVerifier

    return SignatureVerifier(asked["secret"]).is_valid_request(asked["body"], dict(asked["headers"]))


def sign_slack_sdk(asked: Asked) -> Mapping[str, str]:
    from slack_sdk.signature import SignatureVerifier

    stamp = str(int(asked["now"]))
    signature = SignatureVerifier(asked["secret"]).generate_signature(timestamp=stamp, body=asked["body"])
    return {"x-slack-request-timestamp": stamp, "x-slack-signature": signature}


def _form(asked: Asked) -> Mapping[str, str]:
    from urllib.parse import parse_qsl

    return dict(parse_qsl(asked["body"], keep_blank_values=True))


def twilio(asked: Asked) -> object:
    from twilio.request_validator import RequestValidator

    signature = asked["headers"].get("x-twilio-signature", "")
    return RequestValidator(asked["secret"]).validate(asked["url"], _form(asked), signature)


def sign_twilio(asked: Asked) -> Mapping[str, str]:
    from twilio.request_validator import RequestValidator

    return {"x-twilio-signature": RequestValidator(asked["secret"]).compute_signature(asked["url"], _form(asked))}


def hubspot(asked: Asked) -> object:
    from hubspot.utils.signature import Signature

    headers = asked["headers"]
    return Signature.is_valid(
        signature=headers.get("x-hubspot-signature-v3", ""),
        client_secret=asked["secret"],
        request_body=asked["body"],
        http_uri=asked["url"],
        signature_version="v3",
        timestamp=headers.get("x-hubspot-request-timestamp"),
    )


def sign_hubspot(asked: Asked) -> Mapping[str, str]:
    from hubspot.utils.signature import Signature

    stamp = str(int(asked["now"] * 1000))
    signature = Signature.get_signature(asked["secret"], asked["body"], "v3", asked["url"], "POST", stamp)
    return {"x-hubspot-request-timestamp": stamp, "x-hubspot-signature-v3": signature}


def _hubspot_older(version_: str) -> Callable[[Asked], object]:
    def verify(asked: Asked) -> object:
        from hubspot.utils.signature import Signature

        return Signature.is_valid(
            signature=asked["headers"].get("x-hubspot-signature", ""),
            client_secret=asked["secret"],
            request_body=asked["body"],
            http_uri=asked["url"],
            signature_version=version_,
        )

    return verify


def sendgrid(asked: Asked) -> object:
    from sendgrid.helpers.eventwebhook import EventWebhook

    signature = asked["headers"].get("x-twilio-email-event-webhook-signature", "")
    stamp = asked["headers"].get("x-twilio-email-event-webhook-timestamp", "")
    return EventWebhook(asked["secret"]).verify_signature(asked["body"], signature, stamp)


def square(asked: Asked) -> object:
    from square.utils.webhooks_helper import verify_signature

    return verify_signature(
        request_body=asked["body"],
        signature_header=asked["headers"].get("x-square-hmacsha256-signature", ""),
        signature_key=asked["secret"],
        notification_url=asked["url"],
    )


def discord_interactions(asked: Asked) -> object:
    from discord_interactions import verify_key

    signature = asked["headers"].get("x-signature-ed25519", "")
    stamp = asked["headers"].get("x-signature-timestamp", "")
    return verify_key(asked["body"].encode(), signature, stamp, asked["secret"])


def paddle(asked: Asked) -> object:
    from paddle_billing.Notifications import Secret, Verifier

    headers = {"Paddle-Signature": asked["headers"].get("paddle-signature")}
    request = SimpleNamespace(headers=headers, body=asked["body"].encode())
    return Verifier().verify(request, Secret(asked["secret"]))


def workos(asked: Asked) -> object:
    from workos import WorkOSClient

    client = WorkOSClient(api_key="none", client_id="none")
    client.webhooks.verify_header(
        event_body=asked["body"],
        event_signature=asked["headers"].get("workos-signature", ""),
        secret=asked["secret"],
    )
    return True


def razorpay(asked: Asked) -> object:
    import razorpay as package

    signature = asked["headers"].get("x-razorpay-signature", "")
    package.Client(auth=("a", "b")).utility.verify_webhook_signature(asked["body"], signature, asked["secret"])
    return True


def line(asked: Asked) -> object:
    from linebot.v3.webhook import SignatureValidator

    return SignatureValidator(asked["secret"]).validate(asked["body"], asked["headers"].get("x-line-signature", ""))


def botocore(asked: Asked) -> object:
    """Whether AWS's own package makes the same signature; the secret is service, region, id and key."""
    from botocore.auth import S3SigV4Auth, SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    service, region, key_id, key = asked["secret"].split()
    headers = {name: value for name, value in asked["headers"].items() if name != "authorization"}
    request = AWSRequest(method="POST", url=asked["url"], data=asked["body"].encode(), headers=headers)
    request.context.update(timestamp=headers["x-amz-date"], client_config=None)
    auth = (S3SigV4Auth if service == "s3" else SigV4Auth)(Credentials(key_id, key), service, region)
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    return asked["headers"]["authorization"].endswith(f"Signature={signature}")


VERIFY: dict[str, Callable[[Asked], object]] = {
    "standardwebhooks": standardwebhooks,
    "svix": svix,
    "resend": resend,
    "openai": openai,
    "replicate": replicate,
    "stripe": stripe,
    "slack_sdk": slack_sdk,
    "twilio": twilio,
    "hubspot-api-client": hubspot,
    "hubspot-api-client v1": _hubspot_older("v1"),
    "hubspot-api-client v2": _hubspot_older("v2"),
    "sendgrid": sendgrid,
    "squareup": square,
    "discord-interactions": discord_interactions,
    "paddle-python-sdk": paddle,
    "workos": workos,
    "razorpay": razorpay,
    "line-bot-sdk": line,
    "botocore": botocore,
}
SIGN: dict[str, Callable[[Asked], Mapping[str, str]]] = {
    "standardwebhooks": sign_standardwebhooks,
    "svix": sign_svix,
    "stripe": sign_stripe,
    "slack_sdk": sign_slack_sdk,
    "twilio": sign_twilio,
    "hubspot-api-client": sign_hubspot,
}


def answer(asked: Asked) -> Mapping[str, object]:
    if asked["do"] == "list":
        return {name: {"version": version(name.split()[0]), "signs": name in SIGN} for name in VERIFY}
    if asked["do"] == "sign":
        return {"headers": SIGN[asked["package"]](asked)}
    try:
        # Some packages print to standard output.
        with redirect_stdout(io.StringIO()):
            return {"accepted": bool(VERIFY[asked["package"]](asked)), "why": ""}
    except Exception as error:  # noqa: BLE001  whatever a package raises, it did not accept
        return {"accepted": False, "why": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    for written in sys.stdin:
        print(json.dumps(answer(json.loads(written))), flush=True)
