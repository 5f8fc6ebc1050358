import hashlib
import hmac
import os

from flask import Flask, abort, request

app = Flask(__name__)


@app.post("/flask")
def webhook():
    body = request.get_data()  # the bytes as they came, before anything parses them
    want = hmac.new(os.environ["WEBHOOK_SECRET"].encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(want, request.headers.get("X-Signature", "")):
        abort(401)
    return "", 200
