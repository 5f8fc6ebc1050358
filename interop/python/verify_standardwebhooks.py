from standardwebhooks import Webhook


def verify(body, headers, secret):
    """body holds the bytes as they came; secret is "whsec_…"."""
    return Webhook(secret).verify(body, headers)  # raises, or returns the parsed event
