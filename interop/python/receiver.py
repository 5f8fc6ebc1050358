"""A receiver with a path for every scheme. It prints where it listens and which versions it runs, and ends with its stdin."""

import importlib
import json
import logging
import os
import platform
import sys
import threading
from datetime import datetime, timezone
from importlib.metadata import version

import standardwebhooks
import stripe
import svix.webhooks
from flask import request
from flask_app import app
from werkzeug.serving import WSGIRequestHandler, make_server

LIBRARIES = ["cryptography", "flask", "http-message-signatures", "slack-sdk", "standardwebhooks", "stripe", "svix"]


def key(scheme, old):
    what = "PUBLIC_KEY" if scheme in ("ed25519", "message_signature") else "SECRET"
    return os.environ[("OLD_" if old else "") + "WEBHOOK_" + what]


@app.post("/<scheme>", defaults={"old": None})
@app.post("/<scheme>/<old>")
def verify(scheme, old):
    body = request.get_data()
    try:
        importlib.import_module("verify_" + scheme).verify(body, request.headers, key(scheme, old))
    except Exception as error:
        return f"{type(error).__name__}: {error}", 401
    return "", 200


@app.post("/sign/<scheme>")
def sign(scheme):
    """What the library signs, given the request's ID and time."""
    body, secret = request.get_data().decode(), key(scheme, False)
    seconds = int(request.headers["webhook-timestamp"])
    if scheme == "stripe":
        return stripe.WebhookSignature.generate_signature_header(body, secret, seconds)
    webhook = {"standardwebhooks": standardwebhooks.Webhook, "svix": svix.webhooks.Webhook}[scheme](secret)
    return webhook.sign(request.headers["webhook-id"], datetime.fromtimestamp(seconds, timezone.utc), body)


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"


logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
versions = {name: version(name) for name in LIBRARIES} | {"hmac": platform.python_version()}
print(json.dumps({"port": server.port, "language": "Python " + platform.python_version(), "versions": versions}), flush=True)
sys.stdin.read()
