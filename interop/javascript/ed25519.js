import { createPublicKey, verify as verifies } from "node:crypto";

// v1a of Standard Webhooks; publicKey is "whpk_…".
export function verify(body, headers, publicKey) {
  const key = createPublicKey({
    key: { kty: "OKP", crv: "Ed25519", x: Buffer.from(publicKey.slice("whpk_".length), "base64").toString("base64url") },
    format: "jwk",
  });
  const id = headers["webhook-id"];
  const timestamp = headers["webhook-timestamp"];
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) <= 300)) {
    throw new Error("webhook-timestamp is too far from now");
  }
  const content = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  const signed = (headers["webhook-signature"] ?? "").split(" ").some((each) => {
    const [version, signature] = each.split(",");
    return version === "v1a" && verifies(null, content, key, Buffer.from(signature, "base64"));
  });
  if (!signed) throw new Error("no signature matches");
}
