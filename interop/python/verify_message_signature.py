import base64
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from flask import request
from http_message_signatures import HTTPMessageVerifier, MappingKeyResolver, algorithms

COVERED = ["@method", "@target-uri", "content-digest", "webhook-id"]


def verify(body, headers, public_key):
    """RFC 9421 with ed25519, and RFC 9530 for the body."""
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))
    verifier = HTTPMessageVerifier(
        signature_algorithm=algorithms.ED25519,
        key_resolver=MappingKeyResolver(public_keys={"signpost": key}, private_keys={}),
    )
    verifier.verify(request, max_age=timedelta(minutes=5), require_components=COVERED, body=body)  # raises
