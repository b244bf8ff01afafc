"""Asks Keyturn what an access token is worth at the moment; the standard library is enough."""

import json
import os
import sys
import urllib.parse
import urllib.request

try:
    ISSUER, CLIENT_ID, CLIENT_SECRET = (os.environ[name] for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET"))
except KeyError:
    print("set ISSUER, CLIENT_ID and CLIENT_SECRET", file=sys.stderr)
    sys.exit(2)


def introspect(token):
    """The claims; None if the token is refused. Raises OSError where that cannot be told."""
    form = {"token": token, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    data = urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(f"{ISSUER}/oauth/introspect", data, timeout=5) as response:
        claims = json.load(response)
    return claims if claims["active"] and claims.get("token_type") == "Bearer" else None


try:
    claims = introspect(sys.stdin.read().strip())
except OSError as error:
    print(f"unknown: {error}", file=sys.stderr)
    sys.exit(3)
if claims is None:
    print("refused", file=sys.stderr)
    sys.exit(1)
print(json.dumps(claims))
