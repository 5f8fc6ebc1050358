import { createHmac, timingSafeEqual } from "node:crypto";

// X-Signature: the hex HMAC-SHA256 of the body.
export function verify(body, headers, secret) {
  const want = createHmac("sha256", secret).update(body).digest();
  const got = Buffer.from(headers["x-signature"] ?? "", "hex");
  if (got.length !== want.length || !timingSafeEqual(got, want)) throw new Error("signature doesn't match");
}
