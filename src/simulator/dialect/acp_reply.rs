//! The messages of the simulated UnionPay: replies as a bare signed line, notices as a signed form.

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};

use crate::codec::acp;
use crate::codec::form::Fields;
use crate::domain::card::MaskedPan;
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::time::{BusinessDate, Timestamp};

use super::super::keys::PlatformIdentity;
use super::super::ledger::{EntryFacts, EntryState, EntryView};
use super::super::message::HttpReply;
use super::super::notices::NoticeContent;
use super::ReplyForm;

pub const SUCCESS: &str = "00";
/// The code that contradicts an approved order: the issuer declined it.
const OPPOSITE: &str = "60";
pub const WORKING: &str = "05";
const REVERSED: &str = "46";

/// Request fields that no answer repeats: secrets, and the request's own signature.
const NOT_ECHOED: [&str; 5] = ["customerInfo", "encryptCertId", "signature", "certId", "accNo"];
/// Request fields that a reply repeats and a notice does not.
const NOT_NOTICED: [&str; 4] = ["backUrl", "channelType", "accType", "payTimeout"];

/// What answers tell of an order.
#[derive(Clone)]
pub struct OrderTold {
    /// The platform's own running number.
    pub trace: u64,
    pub received_at: Timestamp,
    pub amount: AmountMinor,
    pub currency: Currency,
    pub settle_date: BusinessDate,
    pub card: Option<MaskedPan>,
}

impl From<&EntryView> for OrderTold {
    fn from(found: &EntryView) -> Self {
        let EntryFacts { trace, received_at, amount, currency, settle_date, .. } = found.facts;
        Self { trace, received_at, amount, currency, settle_date, card: found.card.clone() }
    }
}

impl OrderTold {
    pub fn query_id(&self) -> String {
        query_id(self.received_at, self.trace)
    }

    /// Adds what the platform tells of it at its end.
    pub fn describe(&self, fields: &mut Fields) {
        let amount = self.amount.to_string();
        fields.set("traceNo", &trace_no(self.trace));
        fields.set("traceTime", &beijing(self.received_at).strftime("%m%d%H%M%S").to_string());
        fields.set("txnAmt", &amount);
        fields.set("currencyCode", self.currency.numeric());
        fields.set("settleAmt", &amount);
        fields.set("settleCurrencyCode", self.currency.numeric());
        fields.set("settleDate", &self.settle_date.civil().strftime("%m%d").to_string());
        self.name(fields);
    }

    /// Adds what names it.
    pub fn name(&self, fields: &mut Fields) {
        fields.set("queryId", &self.query_id());
        if let Some(card) = &self.card {
            fields.set("accNo", card.as_str());
        }
    }
}

/// The platform's own number of an order: 14 digits of time, 6 of the trace, and an 8.
pub fn query_id(received_at: Timestamp, trace: u64) -> String {
    format!("{}{}8", beijing(received_at).strftime("%Y%m%d%H%M%S"), trace_no(trace))
}

fn trace_no(trace: u64) -> String {
    format!("{:06}", trace % 1_000_000)
}

/// The request's fields as an answer may repeat them.
pub fn echo(request: &Fields) -> Fields {
    let mut fields = request.clone();
    for key in NOT_ECHOED {
        fields.remove(key);
    }
    fields
}

/// The result of an order, as inquiries and notices carry it.
pub fn result_code(facts: &EntryFacts) -> &'static str {
    match facts.state {
        EntryState::Working => WORKING,
        // An undo is a transaction of its own, so the charge that it took back stays a success.
        EntryState::Approved | EntryState::Undone => SUCCESS,
        EntryState::Declined => facts.code,
        EntryState::Reversed => REVERSED,
    }
}

/// The wall clock in Beijing, which has had no summer time since 1991.
pub fn beijing(moment: Timestamp) -> jiff::civil::DateTime {
    moment.civil(&jiff::tz::TimeZone::fixed(jiff::tz::offset(8)))
}

pub fn set_response(fields: &mut Fields, code: &str) {
    fields.set("respCode", code);
    fields.set("respMsg", message(code));
}

/// Writes the content of the answer to an inquiry: the end of the order that was asked about.
pub fn set_end(fields: &mut Fields, told: &OrderTold, code: &str) {
    told.describe(fields);
    fields.set("origRespCode", code);
    fields.set("origRespMsg", message(code));
}

/// Signs the fields and makes a synchronous reply of them.
pub fn reply(platform: &PlatformIdentity, mut fields: Fields, form: ReplyForm) -> HttpReply {
    sign(platform, &mut fields, form);
    let content_type = HeaderValue::from_static("text/html;charset=UTF-8");
    HttpReply {
        status: StatusCode::OK,
        headers: vec![(CONTENT_TYPE, content_type)],
        body: Bytes::from(fields.encode_line()),
    }
}

/// Writes the notice about an order with the end that is to be told.
pub fn notice(
    platform: &PlatformIdentity,
    echoed: &Fields,
    found: &EntryView,
    content: NoticeContent,
) -> String {
    let truth = result_code(&found.facts);
    let opposite = if truth == SUCCESS { OPPOSITE } else { SUCCESS };
    let (code, form) = match content {
        NoticeContent::Truth => (truth, ReplyForm::Honest),
        NoticeContent::Opposite => (opposite, ReplyForm::Honest),
        NoticeContent::Forgery => (opposite, ReplyForm::BadSignature(found.facts.trace % 2)),
    };
    notice_of(platform, echoed, &found.into(), (code, form))
}

/// Writes a notice as a signed, percent-encoded form.
pub fn notice_of(
    platform: &PlatformIdentity,
    echoed: &Fields,
    told: &OrderTold,
    (code, form): (&str, ReplyForm),
) -> String {
    let mut fields = echoed.clone();
    for key in NOT_NOTICED {
        fields.remove(key);
    }
    told.describe(&mut fields);
    set_response(&mut fields, code);
    sign(platform, &mut fields, form);
    fields.encode_form()
}

/// Signs, or spoils the signature in one of three ways: another signature, none, or a result that
/// was reversed after signing.
fn sign(platform: &PlatformIdentity, fields: &mut Fields, form: ReplyForm) {
    fields.set("signPubKeyCert", &platform.certificate_pem);
    acp::sign_rsa(fields, &platform.serial, &platform.signer);
    let ReplyForm::BadSignature(variant) = form else { return };
    match variant % 3 {
        0 => {
            let signature = fields.get(acp::SIGNATURE).unwrap_or_default();
            let first = if signature.starts_with('A') { "B" } else { "A" };
            let spoiled = format!("{first}{}", signature.get(1..).unwrap_or_default());
            fields.set(acp::SIGNATURE, &spoiled);
        }
        1 => {
            fields.remove(acp::SIGNATURE);
        }
        _ => {
            let told =
                if fields.get("origRespCode").is_some() { "origRespCode" } else { "respCode" };
            let opposite = if fields.get(told) == Some(SUCCESS) { OPPOSITE } else { SUCCESS };
            fields.set(told, opposite);
        }
    }
}

/// The text beside a code; the platform often adds an inner code in brackets.
pub fn message(code: &str) -> &'static str {
    match code {
        "00" => "成功[0000000]",
        "01" => "交易失败[1000001]",
        "02" => "系统未开放或暂时关闭[1000002]",
        "03" | "04" | "05" => "交易状态未明[1000005]",
        "06" => "系统繁忙[1000006]",
        "10" => "报文格式错误[2000010]",
        "11" => "验证签名失败[2000011]",
        "12" => "重复交易[2000012]",
        "13" => "报文要素缺失[2000013]",
        "32" => "无此交易权限[3000032]",
        "33" => "交易金额超限[3000033]",
        "34" => "查无此交易[3000034]",
        "35" => "原交易不存在或状态不正确[3000035]",
        "36" => "与原交易信息不符[3000036]",
        "37" => "已超过最大查询次数或操作过于频繁[3000037]",
        "38" => "风险受限[3000038]",
        "39" => "交易不在受理时间范围内[3000039]",
        "45" => "原交易已被成功退货或已被成功撤销[3000045]",
        "46" => "交易已被成功冲正[3000046]",
        "60" => "交易失败,详情请咨询您的发卡行[6000060]",
        "61" => "输入的卡号无效[6000061]",
        "64" => "卡上的余额不足[6000064]",
        "65" => "输入的密码、有效期或CVN2有误[6000065]",
        "66" => "身份信息或手机号不正确[6000066]",
        "68" => "发卡银行不支持此业务[6000068]",
        "98" => "文件不存在[9000098]",
        "73" => "支付卡已超过有效期[6000073]",
        _ => "其他[9000099]",
    }
}
