import stripe


def verify(body, headers, secret):
    return stripe.Webhook.construct_event(body, headers.get("Stripe-Signature"), secret)  # raises, or returns the event
