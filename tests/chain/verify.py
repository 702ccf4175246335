"""Verifies a request of plimsoll as any receiver of Standard Webhooks would, with their own package, and
keeps what it asks for: verify.py FOLDER ID TIMESTAMP SIGNATURE BODY. Run by webhook.

webhook 2.8.0 hands on the body as it has parsed it and not as it came; plimsoll sends canonical JSON, so
that the bytes that were signed can be made again. A receiver that has the bytes needs none of `canonical`.
"""

import json
import pathlib
import sys

from keep import keep
from standardwebhooks import Webhook


class Number(str):
    """A number exactly as it was written."""


def canonical(value):
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{canonical(key)}:{canonical(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


folder, id, timestamp, signature, body = sys.argv[1:]
asked = canonical(json.loads(body, parse_int=Number, parse_float=Number))
headers = {"webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature}
key = (pathlib.Path(folder) / "secrets" / "webhook").read_text()
try:
    Webhook(key).verify(asked, headers)
    verified = True
except Exception as error:  # what is kept says that it was refused, and why
    verified = False
    print(type(error).__name__, error, file=sys.stderr)
keep(f"{folder}/rollback.ndjson", {"id": id, "verified": verified, "body": json.loads(body)})
sys.exit(0 if verified else 1)
