//! Who has signed in. Sessions are in memory: a new start of the process asks for the key again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::sent::SentForms;
use crate::api::auth::{KeyDigest, KeyTenure};
use crate::codec::sign::{HmacKey, equal_in_constant_time, hex_lower, sha256};
use crate::domain::time::Timestamp;

/// Past it the one that was used longest ago ends.
const SESSIONS_MAX: usize = 1_000;
/// A session ends after so long, whatever was asked meanwhile.
const LONGEST: Duration = Duration::from_secs(12 * 60 * 60);

/// One who has signed in. Who that is, and what they may do, is looked up at each page by the key.
pub struct OperatorSession {
    /// Stands for the key in the API's calls, which admit it anew each time.
    pub key: KeyDigest,
    /// It ends with this one.
    pub tenure: KeyTenure,
    /// Makes the tokens of the session's forms.
    forms: HmacKey,
    /// The forms that it has sent.
    pub sent: SentForms,
}

impl OperatorSession {
    pub fn new((key, tenure): (KeyDigest, KeyTenure), secret: &[u8; 32]) -> Self {
        Self { key, tenure, forms: HmacKey::new(secret), sent: SentForms::default() }
    }

    /// The token of the form that posts to this path.
    pub fn token(&self, action: &str) -> String {
        hex_lower(&self.forms.tag(&[action.as_bytes()]))
    }

    pub fn has_token(&self, action: &str, shown: &str) -> bool {
        equal_in_constant_time(self.token(action).as_bytes(), shown.as_bytes())
    }
}

struct KeptSession {
    session: Arc<OperatorSession>,
    used_at: Timestamp,
    /// By the steady clock: no change of the time of day makes it longer.
    began: Instant,
}

/// The same moment by the time of day and by the steady clock.
pub type SteadyMoment = (Timestamp, Instant);

/// All sessions, by the digest of what their cookie says.
pub struct Sessions {
    idle_end: Duration,
    kept: Mutex<HashMap<[u8; 32], KeptSession>>,
}

impl Sessions {
    pub fn new(idle_end: Duration) -> Self {
        Self { idle_end, kept: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], KeptSession>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn goes_on(&self, one: &KeptSession, (now, steady): SteadyMoment) -> bool {
        let age = steady.saturating_duration_since(one.began);
        now.since(one.used_at) < self.idle_end && age < LONGEST
    }

    pub fn begin(&self, cookie: &str, session: OperatorSession, now: SteadyMoment) {
        let mut kept = self.lock();
        kept.retain(|_, one| self.goes_on(one, now));
        if kept.len() >= SESSIONS_MAX
            && let Some(oldest) = kept.iter().min_by_key(|(_, one)| one.used_at)
        {
            let oldest = *oldest.0;
            kept.remove(&oldest);
        }
        let session = KeptSession { session: Arc::new(session), used_at: now.0, began: now.1 };
        kept.insert(sha256(cookie.as_bytes()), session);
    }

    /// The session of a cookie, unless it has been idle for too long or is too old.
    pub fn find(&self, cookie: &str, now: SteadyMoment) -> Option<Arc<OperatorSession>> {
        let mut kept = self.lock();
        let place = sha256(cookie.as_bytes());
        let one = kept.get_mut(&place)?;
        if !self.goes_on(one, now) {
            kept.remove(&place);
            return None;
        }
        one.used_at = one.used_at.max(now.0);
        Some(Arc::clone(&one.session))
    }

    pub fn end(&self, cookie: &str) {
        self.lock().remove(&sha256(cookie.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::stopwatch;

    #[test]
    fn a_session_ends_after_half_a_day_however_busy_and_whatever_the_time_of_day_says() {
        let sessions = Sessions::new(Duration::from_secs(1_800));
        let began = stopwatch();
        let now = Timestamp::from_millis(0);
        let key = (KeyDigest::of("sesame"), KeyTenure::default());
        let session = OperatorSession::new(key, &[7; 32]);
        sessions.begin("a", session, (now, began));
        let later = |minutes: u64| began + Duration::from_secs(60 * minutes);
        for minutes in [0, 20, 719] {
            assert!(sessions.find("a", (now, later(minutes))).is_some(), "{minutes}");
        }
        assert!(sessions.find("a", (now, later(720))).is_none());
        assert!(sessions.find("a", (now, began)).is_none(), "it does not come back");
    }
}
