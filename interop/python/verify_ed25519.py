import base64
import time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def verify(body, headers, public_key):
    """v1a of Standard Webhooks; public_key is "whpk_…"."""
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))
    timestamp = headers["webhook-timestamp"]
    if abs(time.time() - int(timestamp)) > 300:
        raise ValueError("webhook-timestamp is too far from now")
    content = f"{headers['webhook-id']}.{timestamp}.".encode() + body
    for each in headers["webhook-signature"].split():
        version, _, signature = each.partition(",")
        if version == "v1a":
            try:
                return key.verify(base64.b64decode(signature), content)
            except InvalidSignature:
                pass
    raise ValueError("no signature matches")
