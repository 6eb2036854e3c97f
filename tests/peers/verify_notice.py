"""Says whether the library of Standard Webhooks believes a notice."""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

asked = json.loads(sys.argv[1])
try:
    Webhook(asked["key"]).verify(asked["body"], asked["headers"])
    print("believed")
except WebhookVerificationError:
    print("forged")
