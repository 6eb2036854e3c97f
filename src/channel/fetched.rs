//! A credential that a channel hands out for a while: it is got by a request of its own, kept until
//! shortly before its end, and renewed once for all who wait for it.
//!
//! Upholds I-2: while there is none, the request that needs it has not begun, so it is *not sent*.
//! A refused credential is dropped, and the next request gets a new one; the request that was
//! refused is never sent again from here.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::transport::http::HttpTransport;
use super::{Adapter, EncodeError, WireReply, WireRequest};
use crate::clock::Timekeeper;
use crate::domain::outcome::{NotSentCause, Outcome};
use crate::domain::time::Timestamp;

/// How long after a failed try nobody tries again, in milliseconds: whoever waited for it fails
/// with it, and a channel that refuses is not asked at the rate of the payments.
const PAUSE_MS: u64 = 1_000;

/// A credential with its end. Never shown.
pub struct FetchedCredential {
    pub text: Zeroizing<String>,
    /// From then on a new one is got.
    pub good_until: Timestamp,
}

/// Where the present one is kept.
#[derive(Default)]
pub struct FetchedSlot {
    kept: ArcSwapOption<FetchedCredential>,
    /// When the last try failed, if the last one did; held by whoever tries.
    turn: Mutex<Option<Timestamp>>,
}

impl FetchedSlot {
    /// With a made-up one, which is never good: samples are written with it, and no request is.
    pub fn with_sample() -> Self {
        let slot = Self::default();
        let text = Zeroizing::new("a-token-for-samples".to_owned());
        let ended = Timestamp::from_millis(0);
        slot.kept.store(Some(Arc::new(FetchedCredential { text, good_until: ended })));
        slot
    }

    /// The one that is kept, good or not.
    pub fn kept(&self) -> Option<Arc<FetchedCredential>> {
        self.kept.load_full()
    }

    fn good(&self, now: Timestamp) -> Option<Arc<FetchedCredential>> {
        self.kept().filter(|kept| now < kept.good_until)
    }

    /// The credential that was refused is good no more; a newer one stays.
    fn refuse(&self, refused: &Arc<FetchedCredential>) {
        let current = self.kept.load();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, refused)) {
            let (text, ended) = (refused.text.clone(), Timestamp::from_millis(0));
            let ended = Arc::new(FetchedCredential { text, good_until: ended });
            // One that came between these lines stays too.
            self.kept.compare_and_swap(&current, Some(ended));
        }
    }
}

/// How a channel hands its credential out.
pub trait CredentialSupply: Send + Sync {
    fn slot(&self) -> &FetchedSlot;

    /// The request that gets a new one.
    fn encode_fetch(&self, now: Timestamp) -> Result<WireRequest, EncodeError>;

    /// The error says why the reply brings none, and quotes nothing of it.
    fn decode_fetch(&self, reply: &WireReply, now: Timestamp) -> Result<FetchedCredential, String>;

    /// Whether a reply to another request says that its credential is not good.
    fn is_refusal(&self, reply: &WireReply) -> bool;
}

/// The credential that a request is about to be written with.
pub struct CredentialInUse<'a> {
    supply: Option<(&'a dyn CredentialSupply, Arc<FetchedCredential>)>,
}

impl CredentialInUse<'_> {
    /// Looks at the reply to that request.
    pub fn heard(&self, reply: &WireReply) {
        if let Some((supply, used)) = &self.supply
            && supply.is_refusal(reply)
        {
            supply.slot().refuse(used);
        }
    }
}

/// Sees to it that there is a credential where the channel wants one. The error is why the request
/// cannot leave.
pub async fn ready<'a>(
    adapter: &'a dyn Adapter,
    transport: &HttpTransport,
    clock: &Timekeeper,
) -> Result<CredentialInUse<'a>, NotSentCause> {
    let Some(supply) = adapter.credential_supply() else {
        return Ok(CredentialInUse { supply: None });
    };
    let with = |kept| Ok(CredentialInUse { supply: Some((supply, kept)) });
    if let Some(kept) = supply.slot().good(clock.now()) {
        return with(kept);
    }
    // Rare, and long: it does not lie in the future of every call.
    Box::pin(fetch(supply, transport, clock)).await.and_then(with)
}

async fn fetch(
    supply: &dyn CredentialSupply,
    transport: &HttpTransport,
    clock: &Timekeeper,
) -> Result<Arc<FetchedCredential>, NotSentCause> {
    let mut failed_at = supply.slot().turn.lock().await;
    let now = clock.now();
    if let Some(kept) = supply.slot().good(now) {
        return Ok(kept);
    }
    if failed_at.is_some_and(|at| now.as_millis().abs_diff(at.as_millis()) < PAUSE_MS) {
        return Err(NotSentCause::NoCredential);
    }
    match try_once(supply, transport, clock).await {
        Ok(fetched) => {
            let kept = Arc::new(fetched);
            supply.slot().kept.store(Some(Arc::clone(&kept)));
            *failed_at = None;
            Ok(kept)
        }
        Err((cause, problem)) => {
            *failed_at = Some(clock.now());
            tracing::warn!(%problem, "a channel's credential cannot be got; nothing was sent");
            Err(cause)
        }
    }
}

async fn try_once(
    supply: &dyn CredentialSupply,
    transport: &HttpTransport,
    clock: &Timekeeper,
) -> Result<FetchedCredential, (NotSentCause, String)> {
    let none = |problem: String| (NotSentCause::NoCredential, problem);
    let request = supply.encode_fetch(clock.now()).map_err(|error| none(error.to_string()))?;
    let reply = transport.send(request).await.map_err(|failure| match failure.outcome() {
        Outcome::NotSent(cause) => (cause, failure.to_string()),
        _ => none(failure.to_string()),
    })?;
    supply.decode_fetch(&reply, clock.now()).map_err(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_ends_the_credential_that_it_is_of_and_no_newer_one() {
        let fetched = |text: &str| {
            let text = Zeroizing::new(text.to_owned());
            Arc::new(FetchedCredential { text, good_until: Timestamp::from_millis(60_000) })
        };
        let (slot, now) = (FetchedSlot::default(), Timestamp::from_millis(1));
        let (older, newer) = (fetched("older"), fetched("newer"));
        slot.kept.store(Some(Arc::clone(&newer)));
        slot.refuse(&older);
        assert!(slot.good(now).is_some_and(|kept| Arc::ptr_eq(&kept, &newer)));
        slot.refuse(&newer);
        assert!(slot.good(now).is_none());
        assert!(slot.kept().is_some_and(|kept| *kept.text == "newer"));
    }
}
