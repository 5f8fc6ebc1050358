from svix.webhooks import Webhook


def verify(body, headers, secret):
    """Svix's library reads svix-id and its like, or else the headers of Standard Webhooks."""
    Webhook(secret).verify(body, headers)  # raises
