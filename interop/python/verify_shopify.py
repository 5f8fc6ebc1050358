import base64
import hashlib
import hmac


def verify(body, headers, secret):
    """X-Shopify-Hmac-Sha256: the base64 HMAC-SHA256 of the body."""
    want = base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()
    if not hmac.compare_digest(want, headers.get("X-Shopify-Hmac-Sha256", "")):
        raise ValueError("signature doesn't match")
