import { Webhook } from "svix";

// It reads svix-id, svix-timestamp and svix-signature, or else the headers of Standard Webhooks.
export function verify(body, headers, secret) {
  new Webhook(secret).verify(body, headers); // throws
}
