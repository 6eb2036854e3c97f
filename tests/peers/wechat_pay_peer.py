"""WeChat Pay's side of channels/wechat-pay.toml, held against PyPI's wechatpayv3.

wechat_pay_peer.py KEYS API_V3_KEY NOTICE_URL: makes both sides' keys in the folder KEYS under the names
of the channel's file, listens on a free port of loopback and prints it. Every request of ours is asked
of the library too, which must want the same method, address, body and authorisation; every reply and
notice is verified, and opened, by the library. What befalls a payment hangs on its amount. GET /ledger
answers all that came, and what the library found wrong with it.
"""

import base64
import gzip
import hashlib
import http.server
import json
import re
import secrets
import sys
import threading
import time
import urllib.error
import urllib.request
from urllib.parse import parse_qs, urlsplit

import wechatpayv3.core
import wechatpayv3.utils
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from wechatpayv3 import WeChatPay, WeChatPayType
from wechatpayv3.utils import build_authorization, rsa_sign

KEYS, API_V3_KEY, NOTICE_URL = sys.argv[1:4]
MCH_ID, APP_ID = "1900007291", "wxd678efh567hg6787"
CERT = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"
PLATFORM = "PUB_KEY_ID_0119000072912024110100000000000001"
REFUSED, LOST, LOST_AND_UNPAID, TYPES = 4004, 5005, 6006, 7007
SLOW_REFUND = 707
NO_ADDRESS = "none"

lock = threading.Lock()
requests, wrong, payments, refunds = [], [], {}, {}
real_time = time.time


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def public(key):
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


merchant, platform, other = (rsa.generate_private_key(65537, 2048) for _ in range(3))
for name, text in (("merchant", pem(merchant)), ("public", public(platform))):
    with open(f"{KEYS}/wechat-pay-{name}.pem", "w", encoding="ascii") as file:
        file.write(text)


class Asked(Exception):
    """What the library would have sent."""


def caught(method):
    def ask(url, json=None, headers=None, **_):
        raise Asked(method, url, json, headers)

    return ask


wechatpayv3.core.requests.get = caught("GET")
wechatpayv3.core.requests.post = caught("POST")
library = WeChatPay(
    wechatpay_type=WeChatPayType.CODEPAY,
    mchid=MCH_ID,
    private_key=pem(merchant),
    cert_serial_no=CERT,
    appid=APP_ID,
    apiv3_key=API_V3_KEY,
    public_key=public(platform),
    public_key_id=PLATFORM,
)


def as_the_library(method, path, query, body):
    """The request that the library makes of the same call."""
    number = r"/(\w+)"
    calls = [
        ("POST", "/v3/pay/transactions/codepay", lambda: library.pay(**body_of_payment(body))),
        ("GET", f"/v3/pay/transactions/out-trade-no{number}", lambda n: library.query(out_trade_no=n)),
        (
            "POST",
            f"/v3/pay/transactions/out-trade-no{number}/reverse",
            lambda n: library.codepay_reverse(n),
        ),
        ("POST", "/v3/refund/domestic/refunds", lambda: library.refund(**body)),
        ("GET", f"/v3/refund/domestic/refunds{number}", lambda n: library.query_refund(n)),
        ("GET", "/v3/bill/tradebill", lambda: library.trade_bill(**query)),
        ("GET", "/bill", lambda: library.download_bill("https://api.mch.weixin.qq.com/bill?token=t")),
    ]
    for wanted, pattern, call in calls:
        found = re.fullmatch(pattern, path)
        if wanted == method and found:
            try:
                call(*found.groups())
            except Asked as asked:
                return asked.args
    return None


def body_of_payment(body):
    """The library wants a notice's address here too, of which WeChat Pay's document knows nothing."""
    own = {name: value for name, value in body.items() if name not in ("appid", "mchid")}
    return {**own, "notify_url": NO_ADDRESS}


def signed(text, key=platform):
    moment, nonce = str(int(real_time())), secrets.token_hex(16)
    return {
        "Wechatpay-Timestamp": moment,
        "Wechatpay-Nonce": nonce,
        "Wechatpay-Serial": PLATFORM,
        "Wechatpay-Signature": rsa_sign(key, f"{moment}\n{nonce}\n{text}\n"),
        "Wechatpay-Signature-Type": "WECHATPAY2-SHA256-RSA2048",
    }


def notify(refund, key=platform):
    """Tells of a refund; the status of the answer."""
    inner = json.dumps({**refund, "refund_status": refund["status"]})
    nonce = secrets.token_hex(6)
    cipher = AESGCM(API_V3_KEY.encode()).encrypt(nonce.encode(), inner.encode(), b"refund")
    resource = {
        "original_type": "refund",
        "algorithm": "AEAD_AES_256_GCM",
        "ciphertext": base64.b64encode(cipher).decode(),
        "associated_data": "refund",
        "nonce": nonce,
    }
    event = {"event_type": "REFUND.SUCCESS", "resource_type": "encrypt-resource"}
    text = json.dumps({"id": "EV-1", **event, "resource": resource})
    headers = signed(text, key)
    if key is platform and library.callback(headers, text)["resource"] != json.loads(inner):
        wrong.append("the library reads another notice")
    request = urllib.request.Request(
        NOTICE_URL, text.encode(), {"Content-Type": "application/json", **headers}
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code


def tell(refund):
    if notify(refund, other) != 400:
        wrong.append("a notice of another's signature was taken")
    with lock:
        refund["status"] = "SUCCESS"
    if notify(refund) != 200:
        wrong.append("a notice was not taken")


BILL = "\n".join(
    [
        "\ufeff交易时间,商户订单号,微信订单号,交易状态,货币种类,应结订单金额,手续费,"
        "商户退款单号,微信退款单号,退款金额,退款状态",
        "总交易单数,应结订单总金额,退款总金额,手续费总金额",
        "`0,`0.00,`0.00,`0.00",
    ]
).encode()


class Side(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def send(self, status, body, is_signed=True):
        text = json.dumps(body)
        headers = signed(text)
        if not library._core._verify_signature(headers, text):
            wrong.append("the library does not know its own signature")
        self.raw(status, text.encode(), headers if is_signed else {})

    def raw(self, status, body, headers):
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/ledger":
            with lock:
                return self.send(200, {"requests": requests, "wrong": wrong}, False)
        path, query = self.examine("GET", "")
        if path == "/v3/bill/tradebill":
            url = f"http://127.0.0.1:{self.server.server_address[1]}/bill?token=t"
            digest = hashlib.sha1(BILL).hexdigest()
            return self.send(200, {"hash_type": "SHA1", "hash_value": digest, "download_url": url})
        if path == "/bill":
            return self.raw(200, gzip.compress(BILL), {})
        number = path.rsplit("/", 1)[1]
        known = refunds if "/refund/" in path else payments
        with lock:
            found = known.get(number)
        if found is None:
            return self.send(404, {"code": "ORDER_NOT_EXIST", "message": "no"})
        self.send(200, found)

    def do_POST(self):
        raw = self.rfile.read(int(self.headers["Content-Length"])).decode()
        path, _ = self.examine("POST", raw)
        body = json.loads(raw)
        if path == "/v3/pay/transactions/codepay":
            return self.pay(body)
        if path.endswith("/reverse"):
            number = path.split("/")[-2]
            with lock:
                payments.get(number, {})["trade_state"] = "REVOKED"
            return self.send(200, {"appid": APP_ID, "mchid": MCH_ID, "out_trade_no": number})
        self.refund(body)

    def examine(self, method, raw):
        """Holds a request against what the library makes of it."""
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        body = json.loads(raw) if raw else None
        said = as_the_library(method, parts.path, query, body)
        ours = self.headers.get("Authorization", "")
        fields = dict(re.findall(r'(\w+)="([^"]*)"', ours))
        with lock:
            requests.append({"method": method, "path": parts.path, "body": body})
            if said is None:
                wrong.append(f"{method} {self.path} is no call of the library")
                return parts.path, query
            wanted, url, data, headers = said
            data = {n: v for n, v in (data or {}).items() if v != NO_ADDRESS}
            if (wanted, url) != (method, "https://api.mch.weixin.qq.com" + self.path):
                wrong.append(f"{method} {self.path}: the library asks {wanted} {url}")
            if (data or None) != body:
                wrong.append(f"{self.path}: the library sends {data}")
            if self.headers.get("Wechatpay-Serial") != headers["Wechatpay-Serial"]:
                wrong.append(f"{self.path}: another key's id")
            wechatpayv3.utils.time.time = lambda: int(fields["timestamp"])
            same = build_authorization(
                self.path, method, MCH_ID, CERT, merchant, raw or None, fields["nonce_str"]
            )
            wechatpayv3.utils.time.time = real_time
            if same != ours:
                wrong.append(f"{self.path}: the library authorises otherwise")
        return parts.path, query

    def pay(self, body):
        amount, number = body["amount"]["total"], body["out_trade_no"]
        if amount == REFUSED:
            return self.send(403, {"code": "NOTENOUGH", "message": "no"})
        states = {LOST_AND_UNPAID: "NOTPAY"}
        payment = {
            "appid": APP_ID,
            "mchid": MCH_ID,
            "out_trade_no": number,
            "transaction_id": "4200001234202611280000000001",
            "trade_type": "MICROPAY",
            "trade_state": states.get(amount, "SUCCESS"),
            "amount": {"total": amount, "currency": "CNY"},
        }
        with lock:
            payments[number] = payment
        if amount in (LOST, LOST_AND_UNPAID):
            self.close_connection = True
            return None
        if amount == TYPES:
            return self.send(202, {"code": "USERPAYING", "message": "typing"})
        return self.send(200, payment)

    def refund(self, body):
        amount = body["amount"]
        slow = amount["refund"] == SLOW_REFUND
        refund = {
            "refund_id": "50300001234202611280000000001",
            "out_refund_no": body["out_refund_no"],
            "out_trade_no": body["out_trade_no"],
            "transaction_id": "4200001234202611280000000001",
            "status": "PROCESSING" if slow else "SUCCESS",
            "amount": amount,
        }
        with lock:
            refunds[body["out_refund_no"]] = refund
        self.send(200, refund)
        if slow:
            threading.Timer(0.2, tell, [refund]).start()


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Side)
print(server.server_address[1], flush=True)
server.serve_forever()
