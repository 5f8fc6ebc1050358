import Stripe from "stripe";

export function verify(body, headers, secret) {
  return Stripe.webhooks.constructEvent(body, headers["stripe-signature"], secret); // throws, or returns the event
}
