"""Stripe's side of channels/stripe.toml: localstripe, run for real, and what it lacks.

stripe_peer.py NOTICE_URL WEBHOOK_SECRET: listens on a free port of loopback and prints it. Payment
methods, payment intents, captures, cancellations, refunds and signed events are localstripe's. Added
here, as Stripe documents it: replies under an Idempotency-Key are kept and given again, the search by
metadata, the events of refunds, the parameters that localstripe does not know. What befalls a payment
hangs on its amount: the search lags behind it, or no event tells of it. GET /_ledger answers all that
came, but for card data.
"""

import asyncio
import re
import socket
import sys

from aiohttp import web
from localstripe import resources, server, webhooks

NOTICE_URL, SECRET = sys.argv[1:3]
LOST, LOST_AND_SILENT, SLOW_REFUND = 5005, 6006, 707
# Stripe's test card whose holder must confirm each payment.
WANTS_ITS_HOLDER = "4000002760003184"

requests, kept, wrong = [], {}, []
# localstripe writes itself to a folder that all share.
resources.store.dump_to_disk = lambda: None
tell = webhooks.schedule_webhook
intent, refund = resources.PaymentIntent, resources.Refund
born_create, born_refund = intent._api_create.__func__, refund.__init__


def create(cls, description=None, error_on_requires_action=None, **data):
    """A payment intent. A holder who would have to confirm is not there."""
    if error_on_requires_action == "true":
        method = resources.PaymentMethod._api_retrieve(data["payment_method"])
        if method._requires_authentication():
            code = {"code": "card_declined", "decline_code": "authentication_required"}
            raise server.UserError(402, "Authentication required", code)
    created = born_create(cls, **data)
    created.description = description
    return created


def refunded(self, **data):
    born_refund(self, **data)
    if self.amount == SLOW_REFUND:
        self.status = "pending"
        asyncio.ensure_future(settle(self))
    else:
        webhooks.schedule_webhook(resources.Event("refund.created", self))


async def settle(one):
    await asyncio.sleep(0.1)
    one.status = "succeeded"
    webhooks.schedule_webhook(resources.Event("refund.updated", one))


def tell_of(event):
    if event.data["object"]["amount"] != LOST_AND_SILENT:
        tell(event)


intent._api_create = classmethod(create)
refund.__init__ = refunded
resources.schedule_webhook = tell_of


def search(request):
    """The payment intents whose metadata have what the query asks for."""
    asked = re.fullmatch(r"metadata\['(\w+)'\]:'(\w+)'", request.query["query"])
    if server.get_api_key(request) is None:
        raise server.UserError(401, "Unauthorized")
    if not asked:
        wrong.append(f"no query of the search: {request.query['query']}")
        raise server.UserError(400, "Bad request")
    name, value = asked.groups()
    listed = [one for key, one in resources.store.items() if key.startswith("payment_intent:")]
    found = [one for one in listed if one.metadata.get(name) == value and one.amount != LOST]
    body = {"object": "search_result", "data": [one._export() for one in found]}
    return server.json_response(body)


@web.middleware
async def stripe_beyond_localstripe(request, handler):
    if request.path == "/_ledger":
        return server.json_response({"requests": requests, "wrong": wrong})
    data = dict(await request.post())
    hidden = {name: value for name, value in data.items() if not name.startswith("card[")}
    requests.append({"method": request.method, "path": request.path, "data": hidden})
    if request.path.startswith("/v1/") and request.headers.get("Stripe-Version") != "2024-06-20":
        wrong.append(f"{request.path}: another version")
    if request.path == "/v1/payment_intents/search":
        return search(request)
    key = request.headers.get("Idempotency-Key")
    if request.method == "POST" and key is None:
        wrong.append(f"{request.path}: no idempotency key")
    if key in kept:
        if kept[key][0] != (request.path, data):
            raise server.UserError(400, "Keys for idempotent requests", {"code": "idempotency_error"})
        status, text = kept[key][1]
        return web.Response(status=status, text=text, content_type="application/json")
    answer = await handler(request)
    if key is not None:
        kept[key] = ((request.path, data), (answer.status, answer.text))
    amount = int(data.get("amount", 0))
    if request.path == "/v1/payment_intents" and amount in (LOST, LOST_AND_SILENT):
        request.transport.close()
    return answer


server.app.middlewares[1:1] = [stripe_beyond_localstripe, server.error_middleware]
events = [
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "refund.created",
    "refund.updated",
]
webhooks.register_webhook("ours", NOTICE_URL, SECRET, events)

listening = socket.socket()
listening.bind(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
web.run_app(server.app, sock=listening, print=None)
