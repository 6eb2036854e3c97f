//! Reads a channel's reply along the paths of the channel file.
//!
//! Upholds I-2: only a reply that was read whole, names our order and our amount, and has a listed
//! code or state is final; the rest is an unknown with its cause. Must not know how a request was
//! built. Never panics on what came.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::document::ChannelAnswer;
use super::kind::Action;
use super::path::{Inside, Path};
use crate::channel::file::codes::{CodeMeaning, CodeTable};
use crate::channel::protocol::amount::AmountForm;
use crate::channel::{AttemptFacts, IssuedToken, StatedFacts, Uncertainty};
use crate::codec::order_form::OrderForm;
use crate::domain::bin::CardType;
use crate::domain::card::CardToken;
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::outcome::{Approval, Decline, Outcome, Reason, UnknownCause};
use crate::domain::time::Timestamp;

/// The longest number of a transaction that a channel may give us, in bytes.
const REFERENCE_BYTES_MAX: usize = 128;
/// The most characters of a code that are kept.
const CODE_LENGTH_MAX: usize = 32;
/// Characters of a clearing date that is none are kept at most.
const SETTLE_DATE_LENGTH_MAX: usize = 10;

/// Whether a path that is not optional must find something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PathNeed {
    /// What is final for our books must say what it speaks of.
    AsFileSays,
    /// A refusal often says no more than its code.
    IfThere,
}

/// The meaning of an original's state. Written in channel files under `states`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateMeaning {
    Approved,
    /// A final no; its reason is read from `result_code`.
    Declined,
    Pending,
    /// The original went through and was taken back.
    Reversed,
    /// The channel knows no such order.
    NotFound,
    Unknown,
}

impl StateMeaning {
    pub const WORDS: [(&'static str, Self); 6] = [
        ("approved", Self::Approved),
        ("declined", Self::Declined),
        ("pending", Self::Pending),
        ("reversed", Self::Reversed),
        ("not_found", Self::NotFound),
        ("unknown", Self::Unknown),
    ];
}

/// Whether a list of orders found has ours.
enum Listed {
    /// It is empty.
    None,
    /// Only one is listed, or the reply has no list: whose it is, is compared as ever.
    One,
    /// Ours was among several: the reply with ours alone.
    Among(ChannelAnswer),
}

/// How the replies to one kind of request are read.
#[derive(Debug)]
pub struct ReplyMap {
    /// `None` for notices, which nothing was asked for.
    pub action: Option<Action>,
    /// The code of this request's own success or failure. Where it is optional and absent, the
    /// request went well, and `state` or `result_code` tell the rest.
    pub code: Option<Path>,
    /// The member at the top of the body in which the code stands.
    pub member: Option<Inside>,
    /// The original's state, where a reply has one beside the code.
    pub state: Option<Path>,
    pub states: BTreeMap<String, StateMeaning>,
    /// The original's own code: the reason of a declined state, or all there is instead of one.
    pub result_code: Option<Path>,
    /// The list that an inquiry finds its order in: where it is empty, there is no such order.
    pub list: Option<Path>,
    pub order_form: OrderForm,
    pub order_no: Option<Path>,
    /// Our number of what is followed up.
    pub original_no: Option<Path>,
    /// The channel's own number of what is followed up.
    pub original_reference: Option<Path>,
    pub amount: Option<Path>,
    pub amount_form: AmountForm,
    /// Three letters or three digits.
    pub currency: Option<Path>,
    pub reference: Option<Path>,
    pub settle_date: Option<Path>,
    /// The type that the channel gives the card.
    pub card_type: Option<Path>,
    /// What the words there mean; any other says nothing of the card.
    pub card_types: BTreeMap<String, CardType>,
    /// The channel's token for a card, which a confirmed agreement brings.
    pub token: Option<Path>,
    /// When the channel lets the agreement end.
    pub ends_at: Option<Path>,
    /// The channel's codes, which speak of payments first of all.
    pub shared_codes: CodeTable,
    /// Codes of this kind of request alone; they go before the shared ones.
    pub own_codes: CodeTable,
}

impl ReplyMap {
    /// The paths that name what is followed up, with their keys.
    pub const fn originals(&self) -> [(&'static str, &Option<Path>); 2] {
        [("original_no", &self.original_no), ("original_reference", &self.original_reference)]
    }

    /// What a verified reply proves about what was asked. A notice is read without: whoever knows
    /// the attempt compares then.
    pub fn outcome(
        &self,
        answer: &ChannelAnswer,
        asked: Option<StatedFacts<'_>>,
    ) -> Result<Outcome, Uncertainty> {
        let code = match &self.code {
            Some(path) => find(answer, Some(path), PathNeed::AsFileSays)?,
            None => None,
        };
        let verdict =
            code.as_deref().map_or(Ok(CodeMeaning::Approved), |code| self.verdict(code))?;
        let code = code.unwrap_or_default();
        match verdict {
            CodeMeaning::Approved => {
                let alone = match self.look_into_list(answer, asked)? {
                    Listed::None => return Ok(Outcome::NotFound { code: short(&code) }),
                    Listed::One => None,
                    Listed::Among(alone) => Some(alone),
                };
                let answer = alone.as_ref().unwrap_or(answer);
                if let Some(path) = &self.state {
                    let state = answer.text(path)?.ok_or(UnknownCause::Garbled)?;
                    let state = self.states.get(&*state).ok_or(UnknownCause::UnlistedCode)?;
                    self.state_outcome(*state, answer, asked, &code)
                } else if self.result_code.is_some() {
                    self.result_outcome(answer, asked)
                } else {
                    self.approved(answer, asked, &code)
                }
            }
            CodeMeaning::Pending => {
                self.compare(answer, asked, PathNeed::IfThere)?;
                Ok(self.pending(answer, short(&code)))
            }
            verdict @ (CodeMeaning::Unknown
            | CodeMeaning::NotFound
            | CodeMeaning::Declined(_)
            | CodeMeaning::Elsewhere(_)) => {
                self.compare(answer, asked, PathNeed::IfThere)?;
                unapproved(verdict, &code)
            }
        }
    }

    /// Looks for our order in the list of those found. Of several the one that has our number
    /// counts; that none has it proves nothing, for the list may go on.
    fn look_into_list(
        &self,
        answer: &ChannelAnswer,
        asked: Option<StatedFacts<'_>>,
    ) -> Result<Listed, Uncertainty> {
        let Some(path) = &self.list else { return Ok(Listed::One) };
        let count = answer.body.items(path).ok_or(UnknownCause::Garbled)?;
        if count < 2 {
            return Ok(if count == 0 { Listed::None } else { Listed::One });
        }
        let is_ours = |one: &ChannelAnswer| {
            let number = find(one, self.order_no.as_ref(), PathNeed::IfThere).ok().flatten();
            let number = number.and_then(|text| self.order_form.read(&text));
            number.is_some() && number == asked.map(|asked| asked.channel_order_no)
        };
        let alone = |place| {
            let body = answer.body.with_item(path, place)?;
            Some(ChannelAnswer { body, status: answer.status })
        };
        let mut ours = (0..count).filter_map(alone).filter(is_ours);
        match (ours.next(), ours.next()) {
            (Some(one), None) => Ok(Listed::Among(one)),
            (None, _) => {
                Err(Uncertainty::new(UnknownCause::Mismatched, "it lists orders, and not ours"))
            }
            (Some(_), Some(_)) => {
                Err(Uncertainty::new(UnknownCause::Mismatched, "it lists our order twice"))
            }
        }
    }

    /// The meaning of the request's own code to this kind of request.
    ///
    /// The shared table speaks of payments. Its *declined* in the reply to an inquiry or a reversal
    /// says that this one request failed (a wrong form, a closed hour), and nothing of the payment
    /// that it asked about: only a code that the operation's own table declines is a final no. An
    /// inquiry that failed, or whose code says no more than that, is told apart from a channel that
    /// is unsure of the payment: by it alone, what is being worked on is not to be reversed. And
    /// there is no *elsewhere* for what follows up an attempt: a channel that is closed is asked
    /// again later.
    fn verdict(&self, code: &str) -> Result<CodeMeaning, UnknownCause> {
        if let Some(verdict) = self.own_codes.verdict(code) {
            return Ok(verdict);
        }
        let (inquires, reverses, begins) = (
            self.action == Some(Action::Inquiry),
            self.action == Some(Action::Reversal),
            matches!(self.action, Some(Action::Charge | Action::Service)),
        );
        match self.shared_codes.verdict(code) {
            None
            | Some(CodeMeaning::Declined(_) | CodeMeaning::Elsewhere(_) | CodeMeaning::Unknown)
                if inquires =>
            {
                Err(UnknownCause::InquiryFailed)
            }
            None => Err(UnknownCause::UnlistedCode),
            Some(CodeMeaning::Declined(_)) if reverses => Ok(CodeMeaning::Unknown),
            Some(CodeMeaning::Elsewhere(_)) if !begins && self.action.is_some() => {
                Ok(CodeMeaning::Unknown)
            }
            Some(
                verdict @ (CodeMeaning::Declined(_)
                | CodeMeaning::Elsewhere(_)
                | CodeMeaning::Approved
                | CodeMeaning::Pending
                | CodeMeaning::Unknown
                | CodeMeaning::NotFound),
            ) => Ok(verdict),
        }
    }

    fn state_outcome(
        &self,
        state: StateMeaning,
        answer: &ChannelAnswer,
        asked: Option<StatedFacts<'_>>,
        code: &str,
    ) -> Result<Outcome, Uncertainty> {
        let result = match &self.result_code {
            Some(path) => answer.text(path)?,
            None => None,
        };
        let shown = short(result.as_deref().unwrap_or(code));
        match state {
            StateMeaning::Approved => self.approved(answer, asked, &shown),
            StateMeaning::Declined => {
                self.compare(answer, asked, PathNeed::AsFileSays)?;
                self.declined(result.as_deref(), shown)
            }
            StateMeaning::Pending => {
                self.compare(answer, asked, PathNeed::IfThere)?;
                Ok(self.pending(answer, shown))
            }
            StateMeaning::Reversed if self.action == Some(Action::Reversal) => {
                self.approved(answer, asked, &shown)
            }
            // Whoever inquires does so because the result was unknown. The channel says that it was
            // undone since, by a reversal of ours whose answer was lost or by its own: no money
            // moved in the end, so it is a final no, and this is its one true reason.
            StateMeaning::Reversed => {
                self.compare(answer, asked, PathNeed::AsFileSays)?;
                let reason = Reason::ReversedAfterUnknown;
                Ok(Outcome::Declined(Decline { reason, code: shown, elsewhere: false }))
            }
            StateMeaning::NotFound => {
                self.compare(answer, asked, PathNeed::IfThere)?;
                Ok(Outcome::NotFound { code: shown })
            }
            StateMeaning::Unknown => Err(UnknownCause::ChannelUnsure.into()),
        }
    }

    /// A state that is a final no; the result code only gives its reason. One that is not listed
    /// leaves the reason open, not the no; one that says anything but no contradicts the state.
    fn declined(&self, result: Option<&str>, code: String) -> Result<Outcome, Uncertainty> {
        let verdict = result.and_then(|result| self.shared_codes.verdict(result));
        let (reason, elsewhere) = match verdict {
            None => (Reason::ChannelFailure, false),
            Some(CodeMeaning::Declined(reason)) => (reason, false),
            Some(CodeMeaning::Elsewhere(reason)) => (reason, true),
            Some(
                CodeMeaning::Approved
                | CodeMeaning::Pending
                | CodeMeaning::Unknown
                | CodeMeaning::NotFound,
            ) => {
                return Err(UnknownCause::ChannelUnsure.into());
            }
        };
        Ok(Outcome::Declined(Decline { reason, code, elsewhere }))
    }

    /// A reply without a state: the original's code, read as its first reply would have been.
    fn result_outcome(
        &self,
        answer: &ChannelAnswer,
        asked: Option<StatedFacts<'_>>,
    ) -> Result<Outcome, Uncertainty> {
        let path = self.result_code.as_ref().ok_or(UnknownCause::Garbled)?;
        let result = answer.text(path)?.ok_or(UnknownCause::Garbled)?;
        let verdict = self.shared_codes.verdict(&result).ok_or(UnknownCause::UnlistedCode)?;
        match verdict {
            CodeMeaning::Approved => self.approved(answer, asked, &result),
            CodeMeaning::Declined(_) | CodeMeaning::Elsewhere(_) | CodeMeaning::NotFound => {
                self.compare(answer, asked, PathNeed::AsFileSays)?;
                unapproved(verdict, &result)
            }
            CodeMeaning::Pending => {
                self.compare(answer, asked, PathNeed::IfThere)?;
                Ok(self.pending(answer, short(&result)))
            }
            CodeMeaning::Unknown => Err(UnknownCause::ChannelUnsure.into()),
        }
    }

    /// The channel has it. Its reference is taken where it is there already: what is wrong about it
    /// takes nothing from the word.
    fn pending(&self, answer: &ChannelAnswer, code: String) -> Outcome {
        let reference = find(answer, self.reference.as_ref(), PathNeed::IfThere).ok().flatten();
        let channel_reference = reference.and_then(|text| read_reference(&text).ok());
        Outcome::Pending { code, channel_reference }
    }

    /// A yes must name our order and our amount wherever the file says that it does.
    fn approved(
        &self,
        answer: &ChannelAnswer,
        asked: Option<StatedFacts<'_>>,
        code: &str,
    ) -> Result<Outcome, Uncertainty> {
        self.compare(answer, asked, PathNeed::AsFileSays)?;
        find(answer, self.amount.as_ref(), PathNeed::AsFileSays)?;
        find(answer, self.currency.as_ref(), PathNeed::AsFileSays)?;
        let reference = find(answer, self.reference.as_ref(), PathNeed::AsFileSays)?;
        let date = find(answer, self.settle_date.as_ref(), PathNeed::AsFileSays)?;
        Ok(Outcome::Approved(Approval {
            channel_reference: reference.map(|text| read_reference(&text)).transpose()?,
            code: short(code),
            settle_mmdd: date.map(|text| read_settle_date(&text)),
            card_type: self.card_type_of(answer),
        }))
    }

    /// The type that the channel gives the card. What is wrong about it takes nothing from a yes.
    fn card_type_of(&self, answer: &ChannelAnswer) -> Option<CardType> {
        let word = find(answer, self.card_type.as_ref(), PathNeed::IfThere).ok().flatten()?;
        self.card_types.get(&*word).copied()
    }

    /// The token that an approval brings; `phone` is kept with it.
    pub fn issued(
        &self,
        answer: &ChannelAnswer,
        phone: &str,
    ) -> Result<Option<IssuedToken>, Uncertainty> {
        let Some(text) = find(answer, self.token.as_ref(), PathNeed::AsFileSays)? else {
            return Ok(None);
        };
        let token = CardToken::parse(&text, phone)
            .ok_or_else(|| Uncertainty::new(UnknownCause::Garbled, "its token cannot be one"))?;
        let ends_at = find(answer, self.ends_at.as_ref(), PathNeed::AsFileSays)?;
        Ok(Some(IssuedToken { token, ends_at: ends_at.and_then(|text| read_end(&text)) }))
    }

    /// The order number as `need` says; the amount only if it is there, for a no may leave it out.
    fn compare(
        &self,
        answer: &ChannelAnswer,
        asked: Option<StatedFacts<'_>>,
        need: PathNeed,
    ) -> Result<(), Uncertainty> {
        let number = find(answer, self.order_no.as_ref(), need)?;
        let Some(asked) = asked else { return Ok(()) };
        let is_ours = |text: &str| self.order_form.read(text) == Some(asked.channel_order_no);
        if number.is_some_and(|text| !is_ours(&text)) {
            return Err(Uncertainty::new(UnknownCause::Mismatched, "its order number is not ours"));
        }
        self.compare_original(answer, asked.original, need)?;
        // The reader takes no path to money from what has none.
        let Some((amount, currency)) = asked.money else { return Ok(()) };
        if let Some(text) = find(answer, self.currency.as_ref(), PathNeed::IfThere)?
            && Currency::parse_any(&text) != Some(currency)
        {
            return Err(Uncertainty::new(UnknownCause::Mismatched, "its currency is another one"));
        }
        match find(answer, self.amount.as_ref(), PathNeed::IfThere)? {
            Some(text) => self.compare_amount(&text, amount, currency),
            None => Ok(()),
        }
    }

    /// Many follow-ups are answered in the name of their original alone.
    fn compare_original(
        &self,
        answer: &ChannelAnswer,
        original: Option<&AttemptFacts>,
        need: PathNeed,
    ) -> Result<(), Uncertainty> {
        let Some(original) = original else { return Ok(()) };
        let another = |what| Err(Uncertainty::new(UnknownCause::Mismatched, what));
        let number = find(answer, self.original_no.as_ref(), need)?;
        let is_its = |text: &str| self.order_form.read(text) == Some(original.channel_order_no);
        if number.is_some_and(|text| !is_its(&text)) {
            return another("it is about another original");
        }
        let reference = find(answer, self.original_reference.as_ref(), need)?;
        match (reference, &original.channel_reference) {
            (Some(text), Some(known)) if text != known.as_str() => {
                another("it is about another original, by the channel's number")
            }
            (Some(_) | None, _) => Ok(()),
        }
    }

    fn compare_amount(
        &self,
        text: &str,
        amount: AmountMinor,
        currency: Currency,
    ) -> Result<(), Uncertainty> {
        let minor = self.amount_form.minor(text, currency);
        let minor = minor.ok_or_else(|| {
            Uncertainty::new(UnknownCause::Garbled, "its amount is none in the order's currency")
        })?;
        if minor == amount.get() {
            return Ok(());
        }
        Err(Uncertainty::new(UnknownCause::Mismatched, "its amount is another one"))
    }
}

/// The text at a path that a notice must have.
pub fn required<'a>(
    answer: &'a ChannelAnswer,
    path: Option<&Path>,
) -> Result<Option<Cow<'a, str>>, UnknownCause> {
    find(answer, path, PathNeed::AsFileSays)
}

fn find<'a>(
    answer: &'a ChannelAnswer,
    path: Option<&Path>,
    need: PathNeed,
) -> Result<Option<Cow<'a, str>>, UnknownCause> {
    let Some(path) = path else { return Ok(None) };
    let found = answer.text(path)?;
    if found.is_none() && need == PathNeed::AsFileSays && !path.is_optional {
        return Err(UnknownCause::Garbled);
    }
    Ok(found)
}

fn unapproved(verdict: CodeMeaning, code: &str) -> Result<Outcome, Uncertainty> {
    let code = short(code);
    match verdict {
        CodeMeaning::NotFound => Ok(Outcome::NotFound { code }),
        CodeMeaning::Declined(reason) => {
            Ok(Outcome::Declined(Decline { reason, code, elsewhere: false }))
        }
        CodeMeaning::Elsewhere(reason) => {
            Ok(Outcome::Declined(Decline { reason, code, elsewhere: true }))
        }
        CodeMeaning::Approved | CodeMeaning::Pending | CodeMeaning::Unknown => {
            Err(UnknownCause::ChannelUnsure.into())
        }
    }
}

fn short(code: &str) -> String {
    code.chars().take(CODE_LENGTH_MAX).collect()
}

fn read_reference(text: &str) -> Result<String, UnknownCause> {
    let fits = text.len() <= REFERENCE_BYTES_MAX && !text.contains(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err(UnknownCause::Garbled) }
}

/// When an agreement ends: a time with its offset, or seconds or milliseconds since 1970, of ten
/// and thirteen digits, as they are from 2001 to 2286. Twelve or fourteen digits are a date and
/// time of day, and do not tell of which zone. Of any form but these nothing is known: the channel
/// itself refuses what it has let end.
fn read_end(text: &str) -> Option<Timestamp> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number: i64 = text.parse().ok()?;
        return match text.len() {
            10 => number.checked_mul(1_000).map(Timestamp::from_millis),
            13 => Some(Timestamp::from_millis(number)),
            _ => None,
        };
    }
    Timestamp::parse(text).filter(|_| text.contains(['T', 't']))
}

/// `MMDD` out of `MMDD`, `YYYYMMDD` or `YYYY-MM-DD`, or of the date before a time. What is none of
/// them is passed on as it came:
/// a yes stays a yes, and the books know to put no such date into themselves.
fn read_settle_date(text: &str) -> String {
    let is_date_time = text.as_bytes().get(10).is_some_and(|sign| matches!(sign, b'T' | b' '));
    let text = if is_date_time { text.get(..10).unwrap_or(text) } else { text };
    let digits: String = text.chars().filter(|character| *character != '-').collect();
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.len() {
        4 if is_plain => digits,
        8 if is_plain => digits[4..].to_owned(),
        _ => text.chars().take(SETTLE_DATE_LENGTH_MAX).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_time_with_its_offset_or_counts_from_1970() {
        let rows = [
            ("2031-11-22T23:59:59+08:00", Some(1_953_129_599_000)),
            ("2031-11-22T15:59:59Z", Some(1_953_129_599_000)),
            ("1953129599", Some(1_953_129_599_000)),
            ("1953129599000", Some(1_953_129_599_000)),
            // None of these tells of which zone it is.
            ("20311122", None),
            ("203111222359", None),
            ("20311122235959", None),
            ("2031-11-22", None),
            ("2031-11-22 23:59:59", None),
            ("2031-11-22T23:59:59", None),
            ("", None),
            ("some day", None),
        ];
        for (text, expected) in rows {
            assert_eq!(read_end(text).map(Timestamp::as_millis), expected, "{text}");
        }
    }

    #[test]
    fn a_settle_date_is_a_month_and_a_day() {
        let rows = [
            ("1122", "1122"),
            ("20261122", "1122"),
            ("2026-11-22", "1122"),
            ("2026-11-22T23:59:59+08:00", "1122"),
            ("2026-11-22 00:00:00", "1122"),
            // No dates: the books do not take them.
            ("1322", "1322"),
            ("11-2", "11-2"),
            ("١١٢٢", "١١٢٢"),
            ("+1+1", "+1+1"),
            ("tomorrow or so", "tomorrow o"),
        ];
        for (text, expected) in rows {
            assert_eq!(read_settle_date(text), expected, "{text}");
        }
    }
}
