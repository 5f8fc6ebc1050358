// A receiver with a path for every scheme. It prints where it listens and which versions it runs, and ends with its stdin.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { sign as signForGitHub } from "@octokit/webhooks-methods";
import { Webhook } from "standardwebhooks";
import Stripe from "stripe";
import { Webhook as SvixWebhook } from "svix";
import * as ed25519 from "./ed25519.js";
import * as github from "./github.js";
import * as plain from "./plain.js";
import * as standardwebhooks from "./standardwebhooks.js";
import * as stripe from "./stripe.js";
import * as svix from "./svix.js";

const schemes = { ed25519, github, plain, standardwebhooks, stripe, svix };

// What the libraries sign, given the request's ID and time.
const signers = {
  standardwebhooks: (body, id, seconds, secret) => new Webhook(secret).sign(id, new Date(seconds * 1000), body),
  svix: (body, id, seconds, secret) => new SvixWebhook(secret).sign(id, new Date(seconds * 1000), body),
  github: (body, id, seconds, secret) => signForGitHub(secret, body.toString()),
  stripe: (body, id, seconds, secret) =>
    Stripe.webhooks.generateTestHeaderString({ payload: body.toString(), timestamp: seconds, secret }),
};

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const [, first, second] = request.url.split("/"); // /SCHEME, /SCHEME/old or /sign/SCHEME
  const what = first === "ed25519" ? "PUBLIC_KEY" : "SECRET";
  const key = process.env[second === "old" ? `OLD_WEBHOOK_${what}` : `WEBHOOK_${what}`];
  try {
    if (first === "sign") {
      const { "webhook-id": id, "webhook-timestamp": seconds } = request.headers;
      response.end(await signers[second](body, id, Number(seconds), key));
      return;
    }
    await schemes[first].verify(body, request.headers, key);
    response.writeHead(200).end();
  } catch (error) {
    response.writeHead(401).end(`${error.constructor.name}: ${error.message}`);
  }
});

server.listen(0, "127.0.0.1", () => {
  const lock = JSON.parse(readFileSync(new URL("./package-lock.json", import.meta.url)));
  const versions = { "node:crypto": process.versions.node };
  for (const name of Object.keys(lock.packages[""].dependencies)) {
    versions[name] = JSON.parse(readFileSync(new URL(`./node_modules/${name}/package.json`, import.meta.url))).version;
  }
  console.log(JSON.stringify({ port: server.address().port, language: `Node.js ${process.versions.node}`, versions }));
});
process.stdin.resume().on("end", () => process.exit());
