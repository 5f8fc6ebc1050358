import { Webhook } from "standardwebhooks";

// body holds the bytes as they came, in a Buffer; secret is "whsec_…".
export function verify(body, headers, secret) {
  return new Webhook(secret).verify(body, headers); // throws, or returns the parsed event
}
