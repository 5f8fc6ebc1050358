from slack_sdk.signature import SignatureVerifier


def verify(body, headers, secret):
    if not SignatureVerifier(secret).is_valid_request(body, dict(headers)):
        raise ValueError("signature doesn't match")
