//! The one error envelope (RFC 9457), its stable codes, and the status of each.
//!
//! Upholds I-11: a problem is made of our own sentences and of field names, never of values that a
//! caller sent. Causes inside us are logged once, here, and not told outside. `docs/ERRORS.md` has
//! a section for every code, which is served under the problem's `type`.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

use crate::api::call;
use crate::api::language::Language;
use crate::domain::agreement::AgreementRefusal;
use crate::domain::approval::ApprovalRefusal;
use crate::domain::card::mask;
use crate::domain::closed_set;
use crate::domain::command::Refusal;
use crate::domain::order::ContentMismatch;
use crate::domain::payment_code::PaymentCodeRefusal;
use crate::engine::EngineError;
use crate::engine::day_close::CloseError;
use crate::store::StoreError;
use crate::telemetry;

/// The page of problems, in the order of [`Language`].
const MANUALS: [&str; Language::ALL.len()] =
    [include_str!("../../docs/ERRORS.md"), include_str!("../../docs/ERRORS.zh-CN.md")];
/// What stands before a problem's cause and before its advice, in the same order.
const CAUSES: [&str; Language::ALL.len()] = ["*Cause:* ", "*原因：* "];
const ADVICE: [&str; Language::ALL.len()] = ["*What to do:* ", "*处理：* "];
/// When a caller may come back after the store's queue was full, in seconds.
const RETRY_SOON_S: u64 = 1;
/// When a caller may come back after the store has failed or the process is stopping, in seconds.
const RETRY_LATER_S: u64 = 10;
/// The answer where no request for a second person has an id.
pub const NO_SUCH_APPROVAL: &str = "no request for a second person has this id";
/// The longest name of a caller's own making that a problem repeats, in characters.
const SHOWN_NAME_MAX: usize = 64;

closed_set! {
    /// The stable code of a problem. Behind it its status and its English title.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum ProblemCode: (StatusCode, &'static str) {
        TlsRequired => "tls_required" (StatusCode::BAD_REQUEST, "The port speaks TLS"),
        MalformedJson => "malformed_json"
            (StatusCode::BAD_REQUEST, "The body is not one JSON object"),
        UnknownField => "unknown_field"
            (StatusCode::BAD_REQUEST, "A field of the body is not known"),
        MissingField => "missing_field" (StatusCode::BAD_REQUEST, "A required field is missing"),
        InvalidQuery => "invalid_query"
            (StatusCode::BAD_REQUEST, "The query has a key or value that cannot be used"),
        BinTooLong => "bin_too_long" (StatusCode::BAD_REQUEST, "A BIN has 6 to 12 digits here"),
        InvalidField => "invalid_field"
            (StatusCode::UNPROCESSABLE_ENTITY, "A field's value cannot be used"),
        InvalidCardNumber => "invalid_card_number"
            (StatusCode::UNPROCESSABLE_ENTITY, "The card number is not valid"),
        CardNumberFound => "card_number_found"
            (StatusCode::UNPROCESSABLE_ENTITY, "A field that is stored in plain holds a card \
             number"),
        ExpiredCard => "expired_card" (StatusCode::UNPROCESSABLE_ENTITY, "The card has expired"),
        InvalidAmount => "invalid_amount"
            (StatusCode::UNPROCESSABLE_ENTITY, "The amount cannot be used"),
        CardNotKept => "card_not_kept"
            (StatusCode::UNPROCESSABLE_ENTITY,
                "A request for a second person keeps no card number"),
        UnknownCurrency => "unknown_currency"
            (StatusCode::UNPROCESSABLE_ENTITY, "The currency is not known"),
        InvalidOrderId => "invalid_order_id"
            (StatusCode::UNPROCESSABLE_ENTITY, "The order id cannot be used"),
        NoRoute => "no_route" (StatusCode::UNPROCESSABLE_ENTITY, "No channel can take this order"),
        ExceedsLeft => "exceeds_left"
            (StatusCode::UNPROCESSABLE_ENTITY,
                "The amount is more than what is left of the original"),
        OperationNotSupported => "operation_not_supported"
            (StatusCode::UNPROCESSABLE_ENTITY, "The channel does not support the operation"),
        CardRequired => "card_required"
            (StatusCode::UNPROCESSABLE_ENTITY, "The channel needs the card number again"),
        NoAgreement => "no_agreement"
            (StatusCode::UNPROCESSABLE_ENTITY, "No agreement of the merchant has this id"),
        CardDiffers => "card_differs"
            (StatusCode::UNPROCESSABLE_ENTITY, "The card is not the original's"),
        FilesRefused => "files_refused"
            (StatusCode::UNPROCESSABLE_ENTITY, "The routes or the channels' files have mistakes"),
        BinTableRefused => "bin_table_refused"
            (StatusCode::UNPROCESSABLE_ENTITY, "The BIN table is refused"),
        StatementRefused => "statement_refused"
            (StatusCode::UNPROCESSABLE_ENTITY, "The statement is refused"),
        RemedyRefused => "remedy_refused"
            (StatusCode::UNPROCESSABLE_ENTITY, "The remedy does not fit the difference"),
        Unauthorized => "unauthorized" (StatusCode::UNAUTHORIZED, "A valid key is needed"),
        Forbidden => "forbidden" (StatusCode::FORBIDDEN, "The key's roles do not allow this"),
        CertificateRequired => "certificate_required"
            (StatusCode::FORBIDDEN, "The key's caller must show its certificate"),
        WrongPerson => "wrong_person"
            (StatusCode::FORBIDDEN, "Another person has to decide this"),
        NotFound => "not_found" (StatusCode::NOT_FOUND, "The resource does not exist"),
        ChannelUnknown => "channel_unknown" (StatusCode::NOT_FOUND, "No channel has this id"),
        NoticeRefused => "notice_refused" (StatusCode::NOT_FOUND, "The channel sends no notices"),
        MethodNotAllowed => "method_not_allowed"
            (StatusCode::METHOD_NOT_ALLOWED, "The method is not used here"),
        RequestTimeout => "request_timeout"
            (StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time"),
        OrderIdConflict => "order_id_conflict"
            (StatusCode::CONFLICT, "The order id was used before with other content"),
        BankReferenceConflict => "bank_reference_conflict"
            (StatusCode::CONFLICT, "The bank reference was recorded before with other content"),
        WrongPhase => "wrong_phase"
            (StatusCode::CONFLICT, "The resource's state does not allow the change"),
        ReloadHeld => "reload_held"
            (StatusCode::CONFLICT, "The files would move more orders than the settings allow"),
        AgreementNotActive => "agreement_not_active"
            (StatusCode::CONFLICT, "The agreement's state does not allow this"),
        CodeNotSent => "code_not_sent"
            (StatusCode::CONFLICT, "No other code is sent for the payment now"),
        NoPaymentCode => "no_payment_code"
            (StatusCode::CONFLICT, "No code that can be used was sent for the payment"),
        NothingOpen => "nothing_open" (StatusCode::CONFLICT, "The order has nothing unresolved"),
        ApprovalWaits => "approval_waits"
            (StatusCode::CONFLICT, "Another request about the same waits for a second person"),
        ApprovalDecided => "approval_decided"
            (StatusCode::CONFLICT, "The request is decided already"),
        ApprovalExpired => "approval_expired" (StatusCode::CONFLICT, "The request has expired"),
        ApprovalOvertaken => "approval_overtaken"
            (StatusCode::CONFLICT, "What the request is about has changed since it was asked"),
        ClockDiffers => "clock_differs"
            (StatusCode::CONFLICT, "The machine's clock shows another time"),
        DayOpen => "day_open" (StatusCode::CONFLICT, "The clearing day has not ended"),
        NotEscrow => "not_escrow" (StatusCode::CONFLICT, "The order is not an escrow payment"),
        NoStatement => "no_statement"
            (StatusCode::CONFLICT, "The channel's statement is not available"),
        NotSucceeded => "not_succeeded" (StatusCode::CONFLICT, "The order has not succeeded"),
        WrongKind => "wrong_kind"
            (StatusCode::CONFLICT, "An order of this kind does not allow the operation"),
        NotSameDay => "not_same_day" (StatusCode::CONFLICT, "The order's clearing day has ended"),
        RefundWindowClosed => "refund_window_closed"
            (StatusCode::CONFLICT, "The channel's time for refunds has passed"),
        PreauthExpired => "preauth_expired"
            (StatusCode::CONFLICT, "The pre-authorisation has expired"),
        AccountingNotConfigured => "accounting_not_configured"
            (StatusCode::CONFLICT, "No accounting system is configured"),
        RollbackRefused => "rollback_refused"
            (StatusCode::CONFLICT, "The BIN table cannot be rolled back to this version"),
        BodyTooLarge => "body_too_large" (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
        UnsupportedMediaType => "unsupported_media_type"
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body's media type is not supported"),
        TooManyRequests => "too_many_requests"
            (StatusCode::TOO_MANY_REQUESTS, "The caller's rate is exceeded"),
        QueueFull => "queue_full"
            (StatusCode::SERVICE_UNAVAILABLE, "The gateway is too busy to write"),
        StoreFailed => "store_failed" (StatusCode::SERVICE_UNAVAILABLE, "The store has failed"),
        StoreUnavailable => "store_unavailable"
            (StatusCode::SERVICE_UNAVAILABLE, "The store cannot be reached"),
        Stopping => "stopping" (StatusCode::SERVICE_UNAVAILABLE, "The gateway is stopping"),
        Internal => "internal"
            (StatusCode::INTERNAL_SERVER_ERROR, "The gateway has failed internally"),
    }
}

impl ProblemCode {
    pub const fn status(self) -> StatusCode {
        self.facts().0
    }

    /// The problem in words that are the same for every occurrence.
    pub fn title(self, language: Language) -> &'static str {
        match language {
            Language::English => self.facts().1,
            // What follows the status in its section; a test holds that it is there.
            Language::Chinese => {
                let line = self.manual(language).lines().nth(2).unwrap_or_default();
                line.rsplit_once("** ").map_or("", |(_, title)| title)
            }
        }
    }

    /// Its section of the manual: cause, and what to do.
    pub fn manual(self, language: Language) -> &'static str {
        let heading = format!("## `{}`\n", self.name());
        let manual = manual(language);
        let section = &manual[manual.find(&heading).unwrap_or(manual.len())..];
        section.find("\n\n## ").map_or(section, |end| &section[..=end])
    }

    /// The first sentence of its cause in English, in one line.
    pub fn cause(self) -> String {
        let line = self.paragraph(Language::English, CAUSES);
        line.split_inclusive(". ").next().unwrap_or_default().trim().to_owned()
    }

    /// What to do about it, in one line; code stands between backticks.
    pub fn advice(self, language: Language) -> String {
        self.paragraph(language, ADVICE)
    }

    /// The paragraph of its section that begins so, in one line.
    fn paragraph(self, language: Language, begins: [&str; Language::ALL.len()]) -> String {
        let begin = begins[language as usize];
        let (_, rest) = self.manual(language).split_once(begin).unwrap_or_default();
        let lines = rest.split("\n\n").next().unwrap_or_default().lines();
        lines.fold(String::new(), |told, line| joined(told, line.trim()))
    }
}

/// The page of all problems.
pub fn manual(language: Language) -> &'static str {
    MANUALS[language as usize]
}

/// A line behind what was told before it: with a space, but not between characters that are
/// written without any.
fn joined(mut told: String, line: &str) -> String {
    let is_wide = |character: char| character >= '\u{2e80}';
    let meet = told.chars().next_back().zip(line.chars().next());
    if meet.is_some_and(|(last, first)| !is_wide(last) && !is_wide(first)) {
        told.push(' ');
    }
    told + line
}

/// One problem, on its way out.
#[derive(Debug)]
pub struct ApiError {
    code: ProblemCode,
    detail: Cow<'static, str>,
    field: Option<Cow<'static, str>>,
    retry_after_s: Option<u64>,
    extras: Vec<(&'static str, Value)>,
}

impl ApiError {
    /// `detail` explains this occurrence and must hold nothing secret.
    pub fn new(code: ProblemCode, detail: impl Into<Cow<'static, str>>) -> Self {
        let retry_after_s = match code {
            ProblemCode::QueueFull => Some(RETRY_SOON_S),
            ProblemCode::StoreFailed | ProblemCode::StoreUnavailable | ProblemCode::Stopping => {
                Some(RETRY_LATER_S)
            }
            _ => None,
        };
        Self { code, detail: detail.into(), field: None, retry_after_s, extras: Vec::new() }
    }

    /// A problem of one field, named by its path (`card.pan`).
    pub fn of_field(
        code: ProblemCode,
        field: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { field: Some(field.into()), ..Self::new(code, detail) }
    }

    pub fn not_found(what: &'static str) -> Self {
        Self::new(ProblemCode::NotFound, what)
    }

    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds.max(1));
        self
    }

    /// Adds a member of the code's own to the envelope.
    pub fn with(mut self, name: &'static str, value: Value) -> Self {
        self.extras.push((name, value));
        self
    }

    pub fn code(&self) -> ProblemCode {
        self.code
    }

    /// The whole problem, as it is sent in answer to a call that asks for this language. Its
    /// detail is in English where the table of texts does not have its sentence.
    pub fn body(&self, language: Language) -> Value {
        let mut body = Map::new();
        body.insert("type".into(), format!("/errors/{}", self.code.name()).into());
        body.insert("title".into(), self.code.title(language).into());
        body.insert("status".into(), self.code.status().as_u16().into());
        body.insert("code".into(), self.code.name().into());
        body.insert("detail".into(), language.detail(&self.detail).into_owned().into());
        if let Some(field) = &self.field {
            body.insert("field".into(), field.as_ref().into());
        }
        if let Some(id) = call::request_id() {
            body.insert("request_id".into(), id.into());
        }
        for (name, value) in &self.extras {
            body.insert((*name).to_owned(), value.clone());
        }
        Value::Object(body)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let language = call::language();
        let mut response = Response::new(Body::from(self.body(language).to_string()));
        *response.status_mut() = self.code.status();
        let headers = response.headers_mut();
        let problem = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, problem);
        let tag = HeaderValue::from_static(language.name());
        headers.insert(header::CONTENT_LANGUAGE, tag);
        // What is not there now may be there in a moment.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.code == ProblemCode::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A name that a caller made up, fit to be repeated: short, plain, and no card number (I-11).
pub fn display_name(name: &str) -> String {
    let plain = name.chars().filter(|character| !character.is_control());
    let short: String = plain.take(SHOWN_NAME_MAX).collect();
    let digits = short.chars().filter(|character| character.is_numeric()).count();
    if digits > 10 { mask(&short) } else { short }
}

impl From<ContentMismatch> for ApiError {
    fn from(differs: ContentMismatch) -> Self {
        let detail = "the id was used before, with another value of the field";
        Self::of_field(ProblemCode::OrderIdConflict, differs.field, detail)
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::NoCandidate => Self::new(ProblemCode::NoRoute, detail),
            Refusal::NoSuchAttempt { .. } => Self::new(ProblemCode::NotFound, detail),
            Refusal::NothingOpen => Self::new(ProblemCode::NothingOpen, detail),
            Refusal::WrongPhase
            | Refusal::NothingToResolve
            | Refusal::Acknowledged
            | Refusal::Withdrawn => Self::new(ProblemCode::WrongPhase, detail),
            Refusal::NotEscrow => Self::new(ProblemCode::NotEscrow, detail),
            Refusal::NotSucceeded => Self::new(ProblemCode::NotSucceeded, detail),
            Refusal::ExceedsLeft { left_minor } => {
                Self::of_field(ProblemCode::ExceedsLeft, "amount", detail)
                    .with("left", left_minor.into())
            }
            Refusal::WrongKind => Self::new(ProblemCode::WrongKind, detail),
            Refusal::OperationNotSupported { .. } => {
                Self::new(ProblemCode::OperationNotSupported, detail)
            }
            Refusal::PartNotSupported => {
                Self::of_field(ProblemCode::OperationNotSupported, "amount", detail)
            }
            Refusal::NotSameDay => {
                Self::new(ProblemCode::NotSameDay, detail).with("instead", "refund".into())
            }
            Refusal::RefundWindowClosed { days } => {
                Self::new(ProblemCode::RefundWindowClosed, detail).with("days", days.into())
            }
            Refusal::PreauthExpired { days } => {
                Self::new(ProblemCode::PreauthExpired, detail).with("days", days.into())
            }
            Refusal::NeedsSecondPerson { .. } => Self::new(ProblemCode::WrongPerson, detail),
            Refusal::CardRequired => Self::of_field(ProblemCode::CardRequired, "card", detail),
            Refusal::CardDiffers => Self::of_field(ProblemCode::CardDiffers, "card.pan", detail),
            Refusal::AccountingNotConfigured => {
                Self::new(ProblemCode::AccountingNotConfigured, detail)
            }
        }
    }
}

impl From<ApprovalRefusal> for ApiError {
    fn from(refusal: ApprovalRefusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            ApprovalRefusal::SamePerson(_) | ApprovalRefusal::OtherPerson(_) => {
                Self::new(ProblemCode::WrongPerson, detail)
            }
            ApprovalRefusal::Decided(state) => {
                Self::new(ProblemCode::ApprovalDecided, detail).with("state", state.name().into())
            }
            ApprovalRefusal::Expired => Self::new(ProblemCode::ApprovalExpired, detail),
            ApprovalRefusal::Overtaken(why) => {
                Self::new(ProblemCode::ApprovalOvertaken, detail).with("changed", why.into())
            }
            ApprovalRefusal::OtherWaits(id) => Self::new(ProblemCode::ApprovalWaits, detail)
                .with("approval", id.to_string().into()),
        }
    }
}

impl From<AgreementRefusal> for ApiError {
    fn from(refusal: AgreementRefusal) -> Self {
        let error = Self::new(ProblemCode::AgreementNotActive, refusal.to_string());
        match refusal {
            AgreementRefusal::WrongState(state) => error.with("state", state.name().into()),
            AgreementRefusal::UnderWay
            | AgreementRefusal::CodesUsedUp
            | AgreementRefusal::CallsUsedUp
            | AgreementRefusal::Expired => error,
        }
    }
}

impl From<PaymentCodeRefusal> for ApiError {
    fn from(refusal: PaymentCodeRefusal) -> Self {
        let code = match refusal {
            PaymentCodeRefusal::NeverAsked
            | PaymentCodeRefusal::NoneSent
            | PaymentCodeRefusal::Ended => ProblemCode::NoPaymentCode,
            PaymentCodeRefusal::UnderWay
            | PaymentCodeRefusal::UsedUp
            | PaymentCodeRefusal::Spent => ProblemCode::CodeNotSent,
        };
        Self::new(code, refusal.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if let StoreError::Unavailable { .. } = &error {
            tracing::warn!(error = %telemetry::chain(&error), "rows could not be read");
            let detail = "the store cannot be reached just now; come back";
            return Self::new(ProblemCode::StoreUnavailable, detail);
        }
        tracing::error!(error = %telemetry::chain(&error), "rows could not be read");
        Self::new(ProblemCode::StoreFailed, "the store cannot be read")
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Refused(refusal) => refusal.into(),
            EngineError::Differs(differs) => differs.into(),
            EngineError::Agreement(refusal) => refusal.into(),
            EngineError::PaymentCode(refusal) => refusal.into(),
            EngineError::Approval(refusal) => refusal.into(),
            EngineError::NoSuchApproval { .. } => Self::not_found(NO_SUCH_APPROVAL),
            EngineError::CardGone => Refusal::CardRequired.into(),
            EngineError::TokenClosed => {
                tracing::error!("the token of an agreement cannot be opened");
                Self::new(ProblemCode::Internal, "the agreement's token cannot be opened")
            }
            EngineError::NoSuchOrder { .. } => Self::not_found("no order has this id"),
            EngineError::NoSuchChannel { .. } => {
                Self::new(ProblemCode::ChannelUnknown, "the order's channel has no file any more")
            }
            EngineError::Busy => Self::new(
                ProblemCode::QueueFull,
                "nothing was written; come back with the same order id",
            ),
            EngineError::NotDurable => Self::new(
                ProblemCode::QueueFull,
                "the order was not yet durable; repeat it with the same order id",
            ),
            EngineError::Unavailable => Self::new(
                ProblemCode::StoreUnavailable,
                "nothing was written; come back with the same order id",
            ),
            EngineError::Damaged => Self::new(
                ProblemCode::Internal,
                "a stored row is damaged; the call was not carried out",
            ),
            EngineError::Contended => Self::new(
                ProblemCode::QueueFull,
                "other calls keep changing the row; send the call again soon",
            ),
            EngineError::StoreFailed => Self::new(
                ProblemCode::StoreFailed,
                "no orders are taken until the process starts anew",
            ),
            EngineError::Store(error) => error.into(),
            EngineError::Died => {
                tracing::error!("the call of an order has panicked; recovery ends the order");
                let detail = "the call has panicked; repeat it with the same order id to learn \
                 the order's state";
                Self::new(ProblemCode::Internal, detail)
            }
            EngineError::Seal(error) => {
                tracing::error!(
                    error = %telemetry::chain(&error),
                    "a card number cannot be sealed; its order is refused"
                );
                Self::new(
                    ProblemCode::Internal,
                    "the card number could not be sealed; the order was not accepted",
                )
            }
        }
    }
}

impl From<CloseError> for ApiError {
    fn from(error: CloseError) -> Self {
        let detail = error.to_string();
        match error {
            CloseError::NotEnded { .. } => Self::new(ProblemCode::DayOpen, detail),
            CloseError::Passed { .. } => Self::new(ProblemCode::WrongPhase, detail),
            CloseError::Export(_) => {
                tracing::error!(error = detail, "clearing records cannot be exported");
                Self::new(
                    ProblemCode::Internal,
                    "the clearing records could not be exported; the day stays open",
                )
            }
            CloseError::Engine(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_section_in_the_manual_and_no_other() {
        for language in Language::ALL {
            for code in ProblemCode::ALL {
                let (name, status, title) =
                    (code.name(), code.status().as_u16(), code.title(language));
                let cause = CAUSES[language as usize];
                let head = format!("## `{name}`\n\n**{status}** {title}\n\n{cause}");
                let section = code.manual(language);
                assert!(section.starts_with(&head), "the page lacks\n{head}\nit has\n{section}");
                let advice = format!("\n\n{}", ADVICE[language as usize]);
                assert_eq!(section.matches(&advice).count(), 1, "{section}");
                let is_chinese = |text: &str| text.contains(|one: char| one >= '\u{4e00}');
                for told in [title, &code.advice(language)] {
                    assert!(!told.is_empty() && !told.contains('\n'), "{name}: {told}");
                    assert_eq!(is_chinese(told), language == Language::Chinese, "{name}: {told}");
                }
            }
            let sections = manual(language).matches("\n## ").count();
            assert_eq!(sections, ProblemCode::ALL.len(), "a section is of no code");
        }
    }

    #[test]
    fn advice_is_one_line_in_either_writing() {
        let told = ["See `a`", "and `b`."].into_iter().fold(String::new(), joined);
        assert_eq!(told, "See `a` and `b`.");
        let told = ["查看日志，", "`a` 与", "运维。"].into_iter().fold(String::new(), joined);
        assert_eq!(told, "查看日志，`a` 与运维。");
    }

    #[test]
    fn codes_are_distinct_and_errors() {
        for (place, code) in ProblemCode::ALL.iter().enumerate() {
            assert!(code.status().is_client_error() || code.status().is_server_error());
            assert!(ProblemCode::ALL[place + 1..].iter().all(|other| other.name() != code.name()));
        }
    }

    #[test]
    fn i_11_a_name_that_is_a_card_number_is_masked() {
        assert_eq!(display_name("4111111111111111"), "411111******1111");
        assert_eq!(display_name("amonut"), "amonut");
        assert_eq!(display_name("a\u{0}b"), "ab");
        assert_eq!(display_name(&"x".repeat(1_000)).len(), SHOWN_NAME_MAX);
    }
}
