"""Verifies an access token of Keyturn with its public keys: pip install pyjwt cryptography"""

import json
import os
import sys

import jwt

try:
    ISSUER, AUDIENCE = os.environ["ISSUER"], os.environ["AUDIENCE"]
except KeyError:
    print("set ISSUER and AUDIENCE", file=sys.stderr)
    sys.exit(2)

# One for the process: it keeps the keys for five minutes, and looks again when a token names one it does not have.
keys = jwt.PyJWKClient(f"{ISSUER}/.well-known/jwks.json", lifespan=300)


def verify(token):
    key = keys.get_signing_key_from_jwt(token).key
    decoded = jwt.api_jwt.decode_complete(
        token,
        key,
        algorithms=["RS256"],
        issuer=ISSUER,
        audience=AUDIENCE,
        leeway=5,
        options={"require": ["iss", "aud", "exp", "iat", "sub", "jti"]},
    )
    if decoded["header"].get("typ") != "at+jwt":
        raise jwt.InvalidTokenError("typ is not at+jwt")
    return decoded["payload"]


try:
    print(json.dumps(verify(sys.stdin.read().strip())))
except jwt.PyJWTError as error:
    print(f"refused: {error}", file=sys.stderr)
    sys.exit(1)
