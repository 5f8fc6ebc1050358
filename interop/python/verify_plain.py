import hashlib
import hmac


def verify(body, headers, secret):
    """X-Signature: the hex HMAC-SHA256 of the body."""
    want = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(want, headers.get("X-Signature", "")):
        raise ValueError("signature doesn't match")
