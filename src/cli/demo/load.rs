//! The payment core's side: payments with made-up cards of real BINs, verifications of these cards,
//! repeats, escrow releases, and payouts to cards and accounts, all over the daemon's own HTTP API.
//!
//! Like a real core it repeats a call that was refused for the moment, under the same order id, and
//! remembers what it was answered. What it asks for is drawn beforehand, each payment's from a seed
//! of its own, and is asked for whatever became of the payment: so one seed asks for the same, and
//! a follow-up of what has not succeeded must be refused. Upholds I-11: card numbers are made of a
//! BIN, drawn digits and a check digit, and are kept no longer than their request.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::binding::{BoundCard, bind_and_pay};
use super::client::{ApiClient, FOLLOW_UP_WAIT_S, FollowUpCall, FollowUpOutcome};
use crate::domain::bin::BinRow;
use crate::domain::card::Pan;
use crate::entropy::Entropy;
use crate::tables::bin::shipped_table;

/// Payments on their way at one time.
const IN_FLIGHT: usize = 64;

/// The answers to one payment and to its later calls.
#[derive(Debug, Clone, Default)]
pub struct PaymentAnswer {
    /// Our order id.
    pub id: String,
    pub status: String,
    /// What a repeat was answered, if there was one: our order id, its status, and whether the
    /// answer said that it was a repeat.
    pub repeat: Option<(String, String, bool)>,
    /// The answer to an escrow release, if there was one.
    pub release: Option<FollowUpCall>,
    /// The verification of its card, if there was one.
    pub verification: Option<VerifiedCard>,
    /// Its card as it was bound, if it was, and the payment by the agreement.
    pub bound: Option<BoundCard>,
    /// The payout to an account, if there was one.
    pub paid_out: Option<AccountPayout>,
    /// Its other calls: holds, captures, refunds and voids.
    pub others: Vec<FollowUpCall>,
}

/// A payout to an account.
#[derive(Debug, Clone)]
pub struct AccountPayout {
    pub payee: DemoPayee,
    pub call: FollowUpCall,
}

/// Whose account a payout goes to, by what the bank knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DemoPayee {
    /// The named person's.
    Holder,
    /// Somebody else's.
    Stranger,
    /// There is no such account.
    Nobody,
}

impl DemoPayee {
    /// Each of them in turn, so that a short demo has all.
    const fn of(place: u32) -> Self {
        match place % 4 {
            1 => Self::Stranger,
            3 => Self::Nobody,
            _ => Self::Holder,
        }
    }

    /// The account's number and the name of its holder, as the simulated bank has them.
    fn account(self, number: u32) -> (String, &'static str) {
        match self {
            Self::Holder => (format!("6500{number:010}"), "ZHANG SAN"),
            Self::Stranger => (format!("6500{number:010}"), "NOBODY"),
            Self::Nobody => (format!("6501{number:010}"), "ZHANG SAN"),
        }
    }
}

/// A card verification, and the same asked again.
#[derive(Debug, Clone)]
pub struct VerifiedCard {
    /// Whether the person that was named can be anybody: nobody's identity number matches no card.
    pub names_somebody: bool,
    /// Empty where the channel was still being asked.
    pub verdict: String,
    /// What the repeat was answered, and whether the answer said that it was a repeat.
    pub repeat: (String, bool),
}

/// How often each thing was asked for, which the seed and the number of payments fix.
pub fn count(answers: &[PaymentAnswer]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::from([("payments", answers.len())]);
    let mut add = |what| *counts.entry(what).or_insert(0) += 1;
    for answer in answers {
        if answer.repeat.is_some() {
            add("repeats");
        }
        if answer.verification.is_some() {
            add("verifications");
        }
        if answer.bound.is_some() {
            add("agreements");
        }
        let paid_out = answer.paid_out.iter().map(|one| &one.call);
        let all = answer.release.iter().chain(&answer.others).chain(paid_out);
        all.for_each(|one| add(one.what));
    }
    counts
}

/// One payment and all that is asked for after it, as they are drawn beforehand.
#[derive(PartialEq)]
struct PlannedPayment {
    body: Value,
    wait_s: Option<u32>,
    repeats: bool,
    releases: bool,
    then: PlannedFollowUp,
    /// The identity number with which the card is verified first.
    verifies: Option<&'static str>,
    /// Whether its card is bound as well, and pays by the agreement.
    binds: bool,
    /// The account to which a third of the amount is paid out: its number, and whose it is.
    pays_account: Option<(u32, DemoPayee)>,
}

/// Identity numbers of nobody: the standard's example, and one whose check digit does not fit.
const SOMEBODY: &str = "11010519491231002X";
const NOBODY: &str = "110105194912310021";

/// The call that follows a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PlannedFollowUp {
    Nothing,
    RefundPart,
    /// Both parts are asked for at the same time.
    RefundTwice,
    Void,
    /// The same card has an amount held, of which a part is captured and given back.
    HoldCaptureRefund,
    HoldVoid,
    /// A third of the amount is paid out to the same card.
    PayOut,
}

impl PlannedFollowUp {
    fn draw(entropy: &Entropy) -> Self {
        match below(entropy, 100) {
            0..4 => Self::RefundPart,
            4..8 => Self::RefundTwice,
            8..12 => Self::Void,
            12..17 => Self::HoldCaptureRefund,
            17..20 => Self::HoldVoid,
            20..24 => Self::PayOut,
            _ => Self::Nothing,
        }
    }
}

/// Sends the `orders` payments of a seed and calls `sent` after each.
pub async fn run(
    api: &Arc<ApiClient>,
    orders: u32,
    seed: u64,
    mut sent: impl FnMut(),
) -> anyhow::Result<Vec<PaymentAnswer>> {
    let mut answers = Vec::new();
    let mut calls: JoinSet<anyhow::Result<PaymentAnswer>> = JoinSet::new();
    for number in 1..=orders {
        if calls.len() >= IN_FLIGHT {
            let done = calls.join_next().await.expect("calls are on their way");
            answers.push(done.context("a call has panicked")??);
            sent();
        }
        let payment = draw(seed, number);
        calls.spawn(pay(Arc::clone(api), payment));
    }
    while let Some(done) = calls.join_next().await {
        answers.push(done.context("a call has panicked")??);
        sent();
    }
    Ok(answers)
}

/// A number below `end`, which is at least 1.
fn below(entropy: &Entropy, end: u64) -> u64 {
    entropy.draw() % end
}

fn draw(seed: u64, number: u32) -> PlannedPayment {
    let entropy = &Entropy::seeded_part(seed, u64::from(number));
    let table = shipped_table();
    let rows = table.rows();
    let row = &rows[(entropy.draw() % rows.len() as u64) as usize];
    // Mostly up to 2,000 yuan, now and then up to 30,000.
    let amount_max = if below(entropy, 10) == 0 { 3_000_000 } else { 200_000 };
    let amount = 1 + below(entropy, amount_max);
    let escrow = below(entropy, 5) == 0;
    let merchant = 1 + below(entropy, 20);
    let body = json!({
        "order_id": format!("demo-{number:07}"),
        "merchant_id": format!("shop-{merchant:02}"),
        "amount": amount,
        "currency": "CNY",
        "settlement": if escrow { "escrow" } else { "instant" },
        "card": { "pan": card_number(row, entropy), "expiry": "3412" },
        "description": format!("demo order {number}"),
    });
    PlannedPayment {
        body,
        wait_s: (below(entropy, 20) == 0).then_some(1),
        repeats: below(entropy, 100) < 4,
        releases: escrow && below(entropy, 2) == 0,
        then: PlannedFollowUp::draw(entropy),
        verifies: match below(entropy, 20) {
            0 => Some(NOBODY),
            1..4 => Some(SOMEBODY),
            _ => None,
        },
        binds: below(entropy, 20) == 0,
        pays_account: (number % 20 == 7).then(|| (number, DemoPayee::of(number / 20))),
    }
}

/// A number that nobody was given: the row's BIN, drawn digits, and the check digit that fits.
fn card_number(row: &BinRow, entropy: &Entropy) -> String {
    let mut digits = row.bin.as_str().to_owned();
    while digits.len() + 1 < usize::from(row.pan_length) {
        let drawn = u8::try_from(below(entropy, 10)).expect("one digit");
        digits.push(char::from(b'0' + drawn));
    }
    let whole = ('0'..='9').map(|check| format!("{digits}{check}"));
    let mut fitting = whole.filter(|number| Pan::parse(number).is_ok());
    fitting.next().expect("one of ten check digits fits")
}

async fn pay(api: Arc<ApiClient>, payment: PlannedPayment) -> anyhow::Result<PaymentAnswer> {
    let PlannedPayment { body, wait_s, repeats, releases, then, verifies, binds, pays_account } =
        payment;
    let verification = match verifies {
        Some(id_number) => Some(verify(&api, &body, id_number).await?),
        None => None,
    };
    let first = api.post("/v1/payments", &body, wait_s).await?;
    if !matches!(first.status, 200 | 202) {
        let (order_id, detail) = (&body["order_id"], first.text("detail"));
        bail!("{order_id} was refused with {}: {detail}", first.status);
    }
    let mut answered = PaymentAnswer {
        id: first.text("id").to_owned(),
        status: first.text("status").to_owned(),
        verification,
        ..PaymentAnswer::default()
    };
    if repeats {
        let again = api.post("/v1/payments", &body, None).await?;
        let (id, status) = (again.text("id").to_owned(), again.text("status").to_owned());
        answered.repeat = Some((id, status, again.replayed));
    }
    // The bank neither gives back nor holds.
    let gives_back = first.text("channel").starts_with("unionpay");
    let caller = PaymentCaller { api: &api, payment: &body };
    if releases {
        let path = format!("/v1/payments/{}/release", answered.id);
        answered.release = Some(caller.ask(&path, ("releases", "release"), None).await?);
    }
    let may_be_taken = answered.status == "succeeded" && gives_back;
    answered.others = caller.follow(&answered.id, may_be_taken, then).await?;
    if let Some((number, payee)) = pays_account {
        let call = caller.pay_account(number, payee).await?;
        answered.paid_out = Some(AccountPayout { payee, call });
    }
    if binds {
        answered.bound = Some(bind_and_pay(&api, &body).await?);
    }
    Ok(answered)
}

/// Verifies the payment's card, and asks the same again.
async fn verify(
    api: &ApiClient,
    payment: &Value,
    id_number: &'static str,
) -> anyhow::Result<VerifiedCard> {
    let body = json!({
        "order_id": payment["order_id"],
        "merchant_id": payment["merchant_id"],
        "card": {
            "pan": payment["card"]["pan"], "holder": "ZHANG SAN", "id_type": "01",
            "id_number": id_number, "phone": "13800138000",
        },
    });
    let first = api.post("/v1/verifications", &body, None).await?;
    let again = api.post("/v1/verifications", &body, None).await?;
    for answer in [&first, &again] {
        if !matches!(answer.status, 200 | 202) {
            let (order_id, detail) = (&body["order_id"], answer.text("detail"));
            bail!("the verification {order_id} was refused with {}: {detail}", answer.status);
        }
    }
    Ok(VerifiedCard {
        names_somebody: id_number == SOMEBODY,
        verdict: first.text("verdict").to_owned(),
        repeat: (again.text("verdict").to_owned(), again.replayed),
    })
}

/// How a follow-up is refused whose original has not succeeded, goes over a channel that cannot do
/// it, or is not of the right kind.
const REFUSALS: [&str; 3] = ["not_succeeded", "operation_not_supported", "wrong_kind"];
/// The core, while it follows one payment up.
struct PaymentCaller<'run> {
    api: &'run ApiClient,
    /// The body of its payment.
    payment: &'run Value,
}

impl PaymentCaller<'_> {
    /// Asks for what was drawn. Where `may_be_taken`, the payment has succeeded over a channel that
    /// can do it, so that a refusal is an error.
    async fn follow(
        &self,
        id: &str,
        may_be_taken: bool,
        then: PlannedFollowUp,
    ) -> anyhow::Result<Vec<FollowUpCall>> {
        let amount = self.payment["amount"].as_i64().unwrap_or_default();
        let (refunds, void) =
            (format!("/v1/payments/{id}/refunds"), format!("/v1/payments/{id}/void"));
        let part = amount / 3;
        let asked = match then {
            PlannedFollowUp::RefundPart if part > 0 => {
                vec![self.ask(&refunds, ("refunds", "refund"), Some(part)).await?]
            }
            PlannedFollowUp::RefundTwice if part > 0 => {
                let first = self.ask(&refunds, ("refunds", "refund-1"), Some(part));
                let rest = self.ask(&refunds, ("refunds", "refund-2"), Some(amount - part));
                let (first, rest) = tokio::try_join!(first, rest)?;
                vec![first, rest]
            }
            PlannedFollowUp::Void => vec![self.ask(&void, ("voids", "void"), None).await?],
            PlannedFollowUp::HoldCaptureRefund | PlannedFollowUp::HoldVoid => {
                return self.hold(then, part).await;
            }
            PlannedFollowUp::PayOut if part > 0 => return Ok(vec![self.pay_out(part).await?]),
            PlannedFollowUp::Nothing
            | PlannedFollowUp::PayOut
            | PlannedFollowUp::RefundPart
            | PlannedFollowUp::RefundTwice => Vec::new(),
        };
        asked.into_iter().map(|one| expect(one, may_be_taken)).collect()
    }

    /// Pays a part out to the payment's card, by whichever channel.
    async fn pay_out(&self, minor: i64) -> anyhow::Result<FollowUpCall> {
        let body = json!({
            "order_id": self.order_id("payout"),
            "merchant_id": self.payment["merchant_id"],
            "amount": minor,
            "currency": "CNY",
            "card": { "pan": self.payment["card"]["pan"], "holder": "演示收款人" },
        });
        expect(self.send("/v1/payouts", "payouts", &body).await?, true)
    }

    /// Pays a part out to an account, by the bank: no other channel pays to accounts.
    async fn pay_account(&self, number: u32, payee: DemoPayee) -> anyhow::Result<FollowUpCall> {
        let amount = self.payment["amount"].as_i64().unwrap_or_default();
        let (account, name) = payee.account(number);
        let body = json!({
            "order_id": self.order_id("account"),
            "merchant_id": self.payment["merchant_id"],
            "amount": (amount / 3).max(1),
            "currency": "CNY",
            "payee": { "account": account, "kind": "bank_account", "name": name },
        });
        expect(self.send("/v1/payouts", "account_payouts", &body).await?, true)
    }

    /// Holds the payment's amount on its card once more, and uses it or lets it go.
    async fn hold(&self, then: PlannedFollowUp, part: i64) -> anyhow::Result<Vec<FollowUpCall>> {
        let mut body = self.payment.clone();
        body["order_id"] = self.order_id("hold").into();
        let held = expect(self.send("/v1/preauths", "holds", &body).await?, true)?;
        let FollowUpOutcome::Taken { id, .. } = &held.outcome else {
            bail!("a hold that was not refused has an id");
        };
        let (id, stands) = (id.clone(), held.succeeded().is_some());
        if then == PlannedFollowUp::HoldVoid || part == 0 {
            let path = format!("/v1/preauths/{id}/void");
            let void = self.ask(&path, ("hold_voids", "hold-void"), None).await?;
            return Ok(vec![held, expect(void, stands)?]);
        }
        let path = format!("/v1/preauths/{id}/capture");
        let captured = self.ask(&path, ("captures", "capture"), Some(2 * part)).await?;
        let captured = expect(captured, stands)?;
        // Without a capture there is only the hold, and that is not refunded.
        let (of, stands) = match &captured.outcome {
            FollowUpOutcome::Taken { id, status } => (id.clone(), status == "succeeded"),
            FollowUpOutcome::Refused { .. } => (id, false),
        };
        let path = format!("/v1/payments/{of}/refunds");
        let back = self.ask(&path, ("capture_refunds", "capture-refund"), Some(part)).await?;
        Ok(vec![held, captured, expect(back, stands)?])
    }

    fn order_id(&self, what: &str) -> String {
        format!("{}-{what}", self.payment["order_id"].as_str().unwrap_or_default())
    }

    /// `what` is how it is counted, and the end of its order id.
    async fn ask(
        &self,
        path: &str,
        what: (&'static str, &str),
        amount: Option<i64>,
    ) -> anyhow::Result<FollowUpCall> {
        let mut body = json!({ "order_id": self.order_id(what.1) });
        if let Some(amount) = amount {
            body["amount"] = amount.into();
        }
        self.send(path, what.0, &body).await
    }

    async fn send(
        &self,
        path: &str,
        what: &'static str,
        body: &Value,
    ) -> anyhow::Result<FollowUpCall> {
        let answer = self.api.post(path, body, Some(FOLLOW_UP_WAIT_S)).await?;
        let text = |key: &str| answer.text(key).to_owned();
        let outcome = match answer.status {
            200 | 202 => FollowUpOutcome::Taken { id: text("id"), status: text("status") },
            _ if REFUSALS.contains(&answer.text("code")) => {
                FollowUpOutcome::Refused { code: text("code") }
            }
            status => {
                bail!("{} was refused with {status}: {}", body["order_id"], answer.text("detail"))
            }
        };
        Ok(FollowUpCall { what, outcome })
    }
}

/// An error where something was refused that must be taken.
fn expect(asked: FollowUpCall, must_be_taken: bool) -> anyhow::Result<FollowUpCall> {
    match &asked.outcome {
        FollowUpOutcome::Refused { code } if must_be_taken => {
            bail!("one of the {} was refused with {code}", asked.what)
        }
        FollowUpOutcome::Taken { .. } | FollowUpOutcome::Refused { .. } => Ok(asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_cards_are_of_their_row_and_one_seed_draws_one_load() {
        let table = shipped_table();
        let entropy = Entropy::seeded(7);
        for row in table.rows().iter().step_by(97) {
            let number = card_number(row, &entropy);
            assert_eq!(number.len(), usize::from(row.pan_length));
            assert!(number.starts_with(row.bin.as_str()) && Pan::parse(&number).is_ok());
        }
        let load = |seed| (1..50).map(|number| draw(seed, number)).collect::<Vec<_>>();
        assert!(load(1) == load(1));
        assert!(load(1) != load(2));
        // A payment's draws are its own, whatever is drawn before.
        assert!(draw(1, 49) == load(1)[48]);
        assert!(draw(1, 1).body["card"] != draw(1, 2).body["card"]);
    }
}
