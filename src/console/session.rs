//! Who has signed in. Sessions are in memory: a new start of the process asks for the key again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::api::auth::KeyDigest;
use crate::codec::sign::{HmacKey, equal_in_constant_time, hex_lower, sha256};
use crate::domain::time::Timestamp;

/// Past it the one that was used longest ago ends.
const SESSIONS_MAX: usize = 1_000;

/// One who has signed in.
pub struct OperatorSession {
    pub caller: String,
    /// Stands for the key in the API's calls, which admit it anew each time.
    pub key: KeyDigest,
    /// Whether forms that change something are shown; the API says whether they may.
    pub may_operate: bool,
    /// Makes the tokens of the session's forms.
    forms: HmacKey,
}

impl OperatorSession {
    pub fn new(caller: String, key: KeyDigest, may_operate: bool, secret: &[u8; 32]) -> Self {
        Self { caller, key, may_operate, forms: HmacKey::new(secret) }
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
}

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

    pub fn begin(&self, cookie: &str, session: OperatorSession, now: Timestamp) {
        let mut kept = self.lock();
        kept.retain(|_, one| now.since(one.used_at) < self.idle_end);
        if kept.len() >= SESSIONS_MAX
            && let Some(oldest) = kept.iter().min_by_key(|(_, one)| one.used_at)
        {
            let oldest = *oldest.0;
            kept.remove(&oldest);
        }
        let session = KeptSession { session: Arc::new(session), used_at: now };
        kept.insert(sha256(cookie.as_bytes()), session);
    }

    /// The session of a cookie, unless it has been idle for too long.
    pub fn find(&self, cookie: &str, now: Timestamp) -> Option<Arc<OperatorSession>> {
        let mut kept = self.lock();
        let place = sha256(cookie.as_bytes());
        let one = kept.get_mut(&place)?;
        if now.since(one.used_at) >= self.idle_end {
            kept.remove(&place);
            return None;
        }
        one.used_at = one.used_at.max(now);
        Some(Arc::clone(&one.session))
    }

    pub fn end(&self, cookie: &str) {
        self.lock().remove(&sha256(cookie.as_bytes()));
    }
}
