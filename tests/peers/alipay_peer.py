"""Alipay's side of channels/alipay.toml, held against PyPI's alipay-sdk-python.

alipay_peer.py KEYS NOTICE_URL: makes both sides' keys in the folder KEYS under the names of the
channel's file, listens on a free port of loopback and prints it. The SDK checks every signature of
ours, and its own request of the same call must want the same fields; every reply is signed and read by
the SDK, every notice is signed by it. What befalls a payment hangs on its amount. GET /ledger answers
all that came, and what the SDK found wrong with it.
"""

import http.server
import importlib
import io
import json
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
import zipfile

from alipay.aop.api.AlipayClientConfig import AlipayClientConfig
from alipay.aop.api.constant.CommonConstants import THREAD_LOCAL
from alipay.aop.api.DefaultAlipayClient import DefaultAlipayClient
from alipay.aop.api.util.SignatureUtils import get_sign_content, sign_with_rsa2, verify_with_rsa
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

KEYS, NOTICE_URL = sys.argv[1:3]
APP_ID = "2014072300007148"
REFUSED, LOST, LOST_AND_UNPAID, TOLD = 4004, 5005, 6006, 7007
LOST_REFUND, NEVER_CAME, LOST_TRANSFER, LOST_ANSWER, TOLD_TRANSFER = 707, 8008, 606, 909, 505
ACCOUNTS = {
    ("ALIPAY_LOGON_ID", "payee@mail.example"): "张三",
    ("ALIPAY_USER_ID", "2088123412341234"): "张三",
}

lock = threading.Lock()
requests, wrong, trades, refunds, transfers = [], [], {}, {}, {}
never_came = set()


def bare(pem):
    return "".join(pem.decode().split("-----")[2].split())


def private(key):
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def public(key):
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form)


app, alipay, other = (rsa.generate_private_key(65537, 2048) for _ in range(3))
for name, pem in (("app", private(app)), ("public", public(alipay))):
    with open(f"{KEYS}/alipay-{name}.pem", "wb") as file:
        file.write(pem)

config = AlipayClientConfig()
config.app_id, config.app_private_key = APP_ID, bare(private(app))
config.alipay_public_key = bare(public(alipay))
read_reply = DefaultAlipayClient(config)._DefaultAlipayClient__parse_response


def sdk_class(kind, method):
    name = "".join(word[0].upper() + word[1:] for word in method.split(".")) + kind
    folder = "domain" if kind == "Model" else "request"
    return getattr(importlib.import_module(f"alipay.aop.api.{folder}.{name}"), name)


def as_the_sdk(method, content):
    """The fields that the SDK makes of the same call, its notice's address included."""
    request = sdk_class("Request", method)(sdk_class("Model", method).from_alipay_dict(content))
    return request.get_params()


def is_signed(fields):
    content = {name: value for name, value in fields.items() if name != "sign"}
    try:
        return verify_with_rsa(bare(public(app)), get_sign_content(content).encode(), fields["sign"])
    except Exception:
        return False


def of_trade(trade):
    return {
        "notify_type": "trade_status_sync",
        "notify_time": "2026-11-28 16:00:00",
        "charset": "utf-8",
        "version": "1.0",
        **{name: trade[name] for name in ("out_trade_no", "trade_no", "trade_status", "total_amount")},
        "subject": "红茶 & 咖啡",
    }


def of_transfer(made):
    return {
        "msg_method": "alipay.fund.trans.order.changed",
        "utc_timestamp": "1795852800000",
        "notify_id": "2026112800222160001000000000000001",
        "charset": "UTF-8",
        "version": "1.1",
        "biz_content": json.dumps({**made, "biz_scene": "DIRECT_TRANSFER", "action_type": "FINISH"}),
    }


def notify(fields, key=alipay):
    fields = {**fields, "app_id": APP_ID}
    fields["sign"] = sign_with_rsa2(bare(private(key)), get_sign_content(fields), "utf-8")
    body = urllib.parse.urlencode({**fields, "sign_type": "RSA2"}).encode()
    request = urllib.request.Request(NOTICE_URL, body)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def tell(told, name, end, written):
    """Tells the end of what has none before, neither for inquiries."""
    if notify(written(told), other) != (400, "fail"):
        wrong.append("a notice of another's signature was taken")
    with lock:
        told[name] = end
    if notify(written(told)) != (200, "success"):
        wrong.append("a notice was not taken")


def minor(text):
    return int(text.replace(".", ""))


class Side(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def raw(self, body, kind="application/json"):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path.startswith("/bill"):
            return self.raw(bill(), "application/zip")
        with lock:
            self.raw(json.dumps({"requests": requests, "wrong": wrong}).encode())

    def do_POST(self):
        raw = self.rfile.read(int(self.headers["Content-Length"])).decode()
        fields = dict(urllib.parse.parse_qsl(raw, keep_blank_values=True))
        method, content = fields["method"], json.loads(fields["biz_content"])
        with lock:
            requests.append({"method": method, "content": content})
            if (self.path, fields["app_id"]) != ("/gateway.do", APP_ID):
                wrong.append(f"{method}: {self.path} of {fields['app_id']}")
            if not is_signed(fields):
                wrong.append(f"{method}: the SDK does not believe its signature")
            said = as_the_sdk(method, content)
            if json.loads(said["biz_content"]) != content:
                wrong.append(f"{method}: the SDK sends {said['biz_content']}")
            if said["method"] != method or said["version"] != fields["version"]:
                wrong.append(f"{method}: the SDK calls {said['method']} {said['version']}")
        # The SDK keeps these for each thread.
        THREAD_LOCAL.logger, THREAD_LOCAL.uuid = None, "peer"
        answer = {
            "alipay.trade.pay": self.pay,
            "alipay.trade.query": query,
            "alipay.trade.cancel": cancel,
            "alipay.trade.refund": self.refund,
            "alipay.trade.fastpay.refund.query": query_refund,
            "alipay.fund.trans.uni.transfer": transfer,
            "alipay.fund.trans.common.query": query_transfer,
            "alipay.data.dataservice.bill.downloadurl.query": self.bill_url,
        }[method](content)
        if answer is None:
            self.close_connection = True
            return
        said = answer if "code" in answer else {"code": "10000", "msg": "Success", **answer}
        text = json.dumps(said, ensure_ascii=False)
        sign = sign_with_rsa2(bare(private(alipay)), text, "utf-8")
        member = method.replace(".", "_") + "_response"
        body = f'{{"{member}":{text},"sign":"{sign}"}}'.encode()
        if read_reply(body) != text:
            wrong.append(f"{method}: the SDK reads another reply")
        self.raw(body)

    def pay(self, content):
        amount, number = minor(content["total_amount"]), content["out_trade_no"]
        if amount == REFUSED:
            return failed("ACQ.BUYER_BALANCE_NOT_ENOUGH")
        if amount == NEVER_CAME:
            never_came.add(number)
            return None
        unpaid = amount in (LOST_AND_UNPAID, TOLD)
        trade = {
            "out_trade_no": number,
            "trade_no": "2026112822001004330000121536",
            "total_amount": content["total_amount"],
            "trade_status": "WAIT_BUYER_PAY" if unpaid else "TRADE_SUCCESS",
        }
        if amount == LOST_AND_UNPAID:
            trade["trade_status"] = "TO_BE_CANCELLED"
        with lock:
            trades[number] = trade
        if amount in (LOST, LOST_AND_UNPAID):
            return None
        if amount == TOLD:
            about = [trade, "trade_status", "TRADE_SUCCESS", of_trade]
            threading.Timer(0.2, tell, about).start()
            return {"code": "10003", "msg": "order success pay inprocess", **trade}
        return {name: value for name, value in trade.items() if name != "trade_status"}

    def refund(self, content):
        trade, part = trades[content["out_trade_no"]], content["refund_amount"]
        with lock:
            refunds[content["out_request_no"]] = {
                "out_trade_no": content["out_trade_no"],
                "out_request_no": content["out_request_no"],
                "trade_no": trade["trade_no"],
                "refund_amount": part,
                "refund_status": "REFUND_SUCCESS",
            }
        if minor(part) == LOST_REFUND:
            return None
        numbers = {name: trade[name] for name in ("out_trade_no", "trade_no")}
        return {**numbers, "fund_change": "Y", "refund_fee": part}

    def bill_url(self, content):
        port = self.server.server_address[1]
        return {"bill_download_url": f"http://127.0.0.1:{port}/bill?date={content['bill_date']}"}


def failed(code):
    return {"code": "40004", "msg": "Business Failed", "sub_code": code, "sub_msg": "no"}


def query(content):
    # Only a cancellation tells that it never came.
    if content["out_trade_no"] in never_came:
        return failed("ACQ.SYSTEM_ERROR")
    with lock:
        found = trades.get(content["out_trade_no"])
    return found or failed("ACQ.TRADE_NOT_EXIST")


def cancel(content):
    number = content["out_trade_no"]
    with lock:
        trade = trades.get(number)
        if trade is None:
            return {"out_trade_no": number, "retry_flag": "N"}
        trade["trade_status"] = "TRADE_CLOSED"
    return {
        "out_trade_no": number,
        "trade_no": trade["trade_no"],
        "retry_flag": "N",
        "action": "close",
    }


def query_refund(content):
    with lock:
        return refunds.get(content["out_request_no"], {})


def transfer(content):
    """To a card, where it takes its time, or to an account, where it is done at once."""
    amount, payee = minor(content["trans_amount"]), content["payee_info"]
    to_card = payee["identity_type"] == "BANKCARD_ACCOUNT"
    product = "TRANS_BANKCARD_NO_PWD" if to_card else "TRANS_ACCOUNT_NO_PWD"
    if (content["product_code"], "bankcard_ext_info" in payee) != (product, to_card):
        with lock:
            wrong.append(f"a transfer to {payee['identity_type']}: {content}")
    if amount == LOST_TRANSFER:
        return None
    if not to_card:
        holder = ACCOUNTS.get((payee["identity_type"], payee["identity"]))
        if holder is None:
            return failed("PAYEE_NOT_EXIST")
        # Only where it is known by a number may the holder be left out.
        if payee.get("name", payee["identity_type"] != "ALIPAY_LOGON_ID" and holder) != holder:
            return failed("PAYEE_USER_INFO_ERROR")
    made = {
        "out_biz_no": content["out_biz_no"],
        "order_id": "20261128110070000006660000123456",
        "status": "DEALING" if to_card else "SUCCESS",
    }
    status = "DEALING" if amount == TOLD_TRANSFER else "SUCCESS"
    kept = {**made, "status": status, "trans_amount": content["trans_amount"]}
    with lock:
        transfers[content["out_biz_no"], product] = kept
    if amount == TOLD_TRANSFER:
        threading.Timer(0.2, tell, [kept, "status", "SUCCESS", of_transfer]).start()
    return None if amount == LOST_ANSWER else made


def query_transfer(content):
    if content["biz_scene"] != "DIRECT_TRANSFER":
        return failed("INVALID_PARAMETER")
    with lock:
        found = transfers.get((content["out_biz_no"], content["product_code"]))
    return found or failed("ORDER_NOT_EXIST")


def bill():
    """The bill of a day on which nothing happened, as Alipay packs it."""
    lines = [
        "#支付宝业务明细查询",
        "支付宝交易号,商户订单号,业务类型,完成时间,商家实收（元）,服务费（元）,分润（元）,退款批次号/请求号",
        "#交易合计：0笔，商家实收共0.00元",
        "#退款合计：0笔，商家实收退款共0.00元",
    ]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("2088_20261127_业务明细.csv", "\n".join(lines).encode("gbk"))
    return packed.getvalue()


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Side)
print(server.server_address[1], flush=True)
server.serve_forever()
