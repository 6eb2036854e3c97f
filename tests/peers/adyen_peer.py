"""Adyen's side of channels/adyen.toml, held against Adyen's own library.

adyen_peer.py BASE_URL API_KEY HMAC_KEY NOTICE_URL: listens on a free port of loopback and prints it.
Every request of ours is asked of the library too, which must want the same address and the same
headers; every notice is signed, and checked, by the library. What befalls a payment hangs on its
amount. GET /ledger answers all that came, and what the library found wrong with it.
"""

import http.server
import json
import re
import sys
import threading
import urllib.request

import Adyen
from Adyen.util import generate_notification_sig, is_valid_hmac_notification

BASE, API_KEY, HMAC_KEY, NOTICE_URL = sys.argv[1:5]
REFUSED, LOST_AND_TOLD, LOST_AND_SILENT = 4004, 5005, 6006
PAYMENT = "NC6HT9CRT65ZGN82"

lock = threading.Lock()
requests, wrong, payments = [], [], {}


class Asked(Exception):
    """What the library would have sent."""


class Wire:
    """In place of the library's own wire."""

    user_agent = "peer"

    def request(self, method, url, json=None, xapikey=None, headers=None, **_):
        raise Asked(method, url, xapikey, {name.lower(): v for name, v in headers.items()})


library = Adyen.Adyen(xapikey=API_KEY, platform="test")
library.client.api_checkout_version = 71
library.client.http_client, library.client.http_init = Wire(), True


def as_the_library(path, body, key):
    """The request that the library makes of the same call."""
    changes = library.checkout.modifications_api
    calls = [
        (r"/payments", lambda: library.checkout.payments_api.payments(body, key)),
        (r"/cancels", lambda: changes.cancel_authorised_payment(body, key)),
        (r"/payments/(\w+)/captures", lambda p: changes.capture_authorised_payment(body, p, key)),
        (r"/payments/(\w+)/refunds", lambda p: changes.refund_captured_payment(body, p, key)),
        (r"/payments/(\w+)/reversals", lambda p: changes.refund_or_cancel_payment(body, p, key)),
        (
            r"/payments/(\w+)/cancels",
            lambda p: changes.cancel_authorised_payment_by_psp_reference(body, p, key),
        ),
    ]
    for pattern, call in calls:
        found = re.fullmatch(pattern, path)
        if found:
            try:
                call(*found.groups())
            except Asked as asked:
                return asked.args
    return None


def notify(event, reference, amount, psp, original=None, success="true"):
    item = {
        "eventCode": event,
        "eventDate": "2026-11-22T09:00:01+01:00",
        "merchantAccountCode": "YOUR_MERCHANT_ACCOUNT",
        "merchantReference": reference,
        "amount": amount,
        "pspReference": psp,
        "success": success,
        "reason": "",
    }
    if original:
        item["originalReference"] = original
    signature = generate_notification_sig(item, HMAC_KEY).decode()
    item["additionalData"] = {"hmacSignature": signature}
    notice = {"live": "false", "notificationItems": [{"NotificationRequestItem": item}]}
    if not is_valid_hmac_notification(notice, HMAC_KEY):
        wrong.append(f"the library does not know its own signature of {event}")
    request = urllib.request.Request(
        NOTICE_URL, json.dumps(notice).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        said = answer.read().decode()
        if (answer.status, said) != (200, "[accepted]"):
            wrong.append(f"{event} was answered {answer.status} {said}")


def later(*notice, **more):
    threading.Timer(0.2, notify, notice, more).start()


class Side(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def send(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json;charset=UTF-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        with lock:
            self.send(200, {"requests": requests, "wrong": wrong})

    def do_POST(self):
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        body = json.loads(raw)
        key = self.headers.get("Idempotency-Key")
        said = as_the_library(self.path, body, key)
        ours = {name.lower(): value for name, value in self.headers.items()}
        with lock:
            requests.append({"path": self.path, "body": body})
            if said is None:
                wrong.append(f"{self.path} is no call of the library")
            else:
                method, url, api_key, headers = said
                if (method, url) != ("POST", BASE + self.path):
                    wrong.append(f"{self.path}: the library asks {method} {url}")
                if ours.get("x-api-key") != api_key:
                    wrong.append(f"{self.path}: another x-api-key")
                if headers.get("idempotency-key") != key:
                    wrong.append(f"{self.path}: another idempotency-key")
        if ours.get("x-api-key") != API_KEY:
            return self.send(401, {"status": 401, "errorCode": "000", "message": "no"})
        if self.path == "/payments":
            return self.pay(body)
        if self.path == "/cancels":
            return self.cancel(body)
        self.follow_up(body)

    def pay(self, body):
        amount, reference = body["amount"], body["reference"]
        with lock:
            payments[reference] = amount
        reply = {"pspReference": PAYMENT, "merchantReference": reference, "amount": amount}
        if amount["value"] == REFUSED:
            refusal = {"refusalReason": "Not enough balance", "refusalReasonCode": "12"}
            return self.send(200, {**reply, "resultCode": "Refused", **refusal})
        if amount["value"] == LOST_AND_TOLD:
            later("AUTHORISATION", reference, amount, PAYMENT)
        if amount["value"] in (LOST_AND_TOLD, LOST_AND_SILENT):
            self.close_connection = True
            return None
        return self.send(200, {**reply, "resultCode": "Authorised"})

    def cancel(self, body):
        reference = body["paymentReference"]
        reply = {"paymentReference": reference, "reference": body["reference"]}
        self.send(201, {**reply, "pspReference": "CANCEL1", "status": "received"})
        with lock:
            amount = payments.get(reference)
        if amount:
            later("TECHNICAL_CANCEL", body["reference"], amount, "CANCEL1", PAYMENT)

    def follow_up(self, body):
        psp, what = self.path.split("/")[2:]
        event = {
            "captures": "CAPTURE",
            "refunds": "REFUND",
            "cancels": "CANCELLATION",
            "reversals": "CANCEL_OR_REFUND",
        }[what]
        reply = {"paymentPspReference": psp, "pspReference": "FOLLOW1", "status": "received"}
        self.send(201, {**reply, "reference": body["reference"], "amount": body.get("amount")})
        amount = body.get("amount", {"value": 0, "currency": "CNY"})
        later(event, body["reference"], amount, "FOLLOW1", psp)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Side)
print(server.server_address[1], flush=True)
server.serve_forever()
