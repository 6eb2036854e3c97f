//! The statement file of a clearing date: transaction 76/01 to the file host.
//!
//! The answer carries, in `fileContent`, base64 of a zlib stream of a ZIP file whose members are
//! the detail file (ZM), the error detail (ZME) and the printed summary (RD). It is believed like
//! any reply. The request says `settleDate` without a year, so the ZIP's name must say the whole
//! date.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_TYPE;

use crate::channel::statement::{
    FILES_BYTES_MAX, FilePointer, StatementReply, StatementSource, inflate, unzip,
};
use crate::channel::{EncodeError, WireReply, WireRequest};
use crate::codec::FieldLimits;
use crate::codec::acp;
use crate::codec::form::Fields;
use crate::domain::time::{BusinessDate, Timestamp};

use super::UnionPayAcp;
use super::identity::SigningIdentity;
use super::request::{FORM, TransactionType, txn_time};

/// The product of a file request, whatever the merchant's is.
const BIZ_TYPE: &str = "000000";
/// The only kind of file there is.
const FILE_TYPE: &str = "00";
/// "The file does not exist": nothing happened, or it is too early.
const NO_FILE: &str = "98";
const STATUS_OK: u16 = 200;

impl StatementSource for UnionPayAcp {
    fn encode_statement(
        &self,
        date: BusinessDate,
        now: Timestamp,
    ) -> Result<WireRequest, EncodeError> {
        let problem =
            |problem: &str| EncodeError { request: "statement", problem: problem.to_owned() };
        let url = self.settings.statement_url.as_ref();
        let url = url.ok_or_else(|| problem("there is no statement_url"))?;
        let mut fields = self.bare(TransactionType::File, BIZ_TYPE);
        fields.set("txnTime", &txn_time(now));
        fields.set("fileType", FILE_TYPE);
        fields.set("settleDate", &mmdd(date));
        let signing = SigningIdentity::newest_at(&self.keys.signing, now.as_millis() / 1_000)
            .ok_or_else(|| problem("no signing certificate is valid now"))?;
        let signature = acp::sign_rsa(&mut fields, &signing.cert_id, &signing.signer);
        Ok(WireRequest {
            method: http::Method::POST,
            url: url.clone(),
            headers: vec![(CONTENT_TYPE, FORM)],
            body: fields.encode_form().into(),
            signature,
        })
    }

    fn decode_statement(
        &self,
        date: BusinessDate,
        reply: &WireReply,
        now: Timestamp,
    ) -> StatementReply {
        let unbelieved = |problem: String| StatementReply::Unbelieved { problem };
        if reply.status != STATUS_OK {
            return unbelieved(format!("HTTP status {}", reply.status));
        }
        let fields = match Fields::decode_line(&reply.body, FieldLimits::FILE) {
            Ok(fields) => fields,
            Err(error) => return unbelieved(error.to_string()),
        };
        if let Err(distrust) = self.signer_of(&fields, now) {
            return unbelieved(distrust.to_string());
        }
        if let Err(problem) = self.answers_for(&fields, date) {
            return unbelieved(problem.to_owned());
        }
        match fields.get("respCode").unwrap_or_default() {
            "" => unbelieved("it has no respCode".to_owned()),
            "00" => unpack(&fields, date).unwrap_or_else(unbelieved),
            NO_FILE => StatementReply::NotYet { code: NO_FILE.to_owned() },
            code => StatementReply::Refused { code: code.chars().take(32).collect() },
        }
    }

    /// The answer has the files in itself, so nothing ever leads here.
    fn encode_file(
        &self,
        _date: BusinessDate,
        _pointer: &FilePointer,
        _now: Timestamp,
    ) -> Result<WireRequest, EncodeError> {
        let problem = "this protocol's files come with the answer".to_owned();
        Err(EncodeError { request: "statement file", problem })
    }

    fn decode_file(
        &self,
        _date: BusinessDate,
        _pointer: &FilePointer,
        _reply: &WireReply,
        _now: Timestamp,
    ) -> StatementReply {
        StatementReply::Unbelieved { problem: "nothing was asked for".to_owned() }
    }
}

impl UnionPayAcp {
    /// Whether a believed reply is about this merchant's file of this date.
    fn answers_for(&self, fields: &Fields, date: BusinessDate) -> Result<(), &'static str> {
        let is = |key: &str, expected: &str| fields.get(key) == Some(expected);
        if !is("txnType", TransactionType::File.code()) {
            return Err("it answers another kind of request");
        }
        if !is("merId", &self.settings.merchant_id) {
            return Err("it is another merchant's");
        }
        if fields.get("settleDate").is_some_and(|said| !said.is_empty() && said != mmdd(date)) {
            return Err("it is of another date");
        }
        Ok(())
    }
}

fn unpack(fields: &Fields, date: BusinessDate) -> Result<StatementReply, String> {
    let name = fields.get("fileName").unwrap_or_default();
    if !name.contains(&date.yyyymmdd().to_string()) {
        return Err("its fileName does not say the date that was asked for".to_owned());
    }
    let content = fields.get("fileContent").filter(|content| !content.is_empty());
    let packed = STANDARD
        .decode(content.ok_or("it brings no fileContent")?)
        .map_err(|_| "its fileContent is not base64".to_owned())?;
    let archive = inflate(&packed, FILES_BYTES_MAX).map_err(|error| error.to_string())?;
    let files = unzip(&archive, FILES_BYTES_MAX).map_err(|error| error.to_string())?;
    Ok(StatementReply::Files(files))
}

/// `settleDate` has no year.
fn mmdd(date: BusinessDate) -> String {
    format!("{:04}", date.yyyymmdd() % 10_000)
}
