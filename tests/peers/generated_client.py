"""Takes a payment with the client that openapi-python-client has made of the document."""

import json
import sys

from switchyard_client import AuthenticatedClient
from switchyard_client.api.orders import create_payment, get_order
from switchyard_client.models import Order, PaymentRequest, Problem


def request(order_id, pan):
    return PaymentRequest.from_dict({
        "order_id": order_id,
        "merchant_id": "shop-1",
        "amount": 1230,
        "currency": "CNY",
        "card": {"pan": pan, "expiry": "4912"},
    })


url, key = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=key, raise_on_unexpected_status=True)
paid = create_payment.sync(client=client, body=request("G-1", "6216261000000000018"))
assert isinstance(paid, Order), paid
shown = get_order.sync(paid.id, client=client)
assert shown.attempts[0].channel_order_no == paid.channel_order_no
refused = create_payment.sync(client=client, body=request("G-2", "6216261000000000019"))
assert isinstance(refused, Problem), refused
print(json.dumps({"id": paid.id, "status": str(paid.status), "refused": str(refused.code)}))
