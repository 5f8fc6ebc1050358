import { verify as verifies } from "@octokit/webhooks-methods";

export async function verify(body, headers, secret) {
  const signature = headers["x-hub-signature-256"];
  if (!signature || !(await verifies(secret, body.toString(), signature))) throw new Error("signature doesn't match");
}
