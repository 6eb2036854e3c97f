//! How often somebody may try to sign in.
//!
//! Who has never signed in with their browser shares the tries of their address (for IPv6: of its
//! network), and all such strangers together have a bound. A browser that has signed in keeps a
//! mark that only the holder of that key can have got, and has tries of its own: whoever uses up
//! those of an address, such as a proxy's that everybody comes by, keeps none of them out.

use std::net::IpAddr;
use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::api::auth::{Callers, KeyDigest, address_block};
use crate::codec::sign::hex_lower;
use crate::entropy::Entropy;

/// Tries of one address, or of one browser that is known, in a minute.
const PER_MINUTE: NonZeroU32 = NonZeroU32::new(10).expect("not zero");
/// Tries of all strangers in a minute, from wherever.
const STRANGERS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(600).expect("not zero");
/// Whose tries are remembered before those that have none left to wait for are dropped.
const REMEMBERED_MAX: usize = 10_000;
/// Digits of a mark: of its nonce, and in all.
const NONCE_DIGITS: usize = 32;
const MARK_DIGITS: usize = NONCE_DIGITS + 64;

pub struct Tries {
    by_block: DefaultKeyedRateLimiter<IpAddr>,
    by_browser: DefaultKeyedRateLimiter<String>,
    strangers: DefaultDirectRateLimiter,
}

impl Tries {
    pub fn new() -> Self {
        Self {
            by_block: RateLimiter::keyed(Quota::per_minute(PER_MINUTE)),
            by_browser: RateLimiter::keyed(Quota::per_minute(PER_MINUTE)),
            strangers: RateLimiter::direct(Quota::per_minute(STRANGERS_PER_MINUTE)),
        }
    }

    /// Whether one more try is looked at. The mark is what the browser shows as its own.
    pub fn admit(&self, mark: Option<&str>, address: IpAddr, callers: &Callers) -> bool {
        if let Some(mark) = mark.filter(|mark| is_known(mark, callers)) {
            if self.by_browser.len() > REMEMBERED_MAX {
                self.by_browser.retain_recent();
            }
            return self.by_browser.check_key(&mark.to_owned()).is_ok();
        }
        if self.by_block.len() > REMEMBERED_MAX {
            self.by_block.retain_recent();
        }
        // What one address has too many of is not taken from the others'.
        self.by_block.check_key(&address_block(address)).is_ok() && self.strangers.check().is_ok()
    }
}

/// The mark of a browser in which this key was right.
pub fn mark(key: KeyDigest, entropy: &Entropy) -> String {
    let mut nonce = [0; NONCE_DIGITS / 2];
    entropy.fill(&mut nonce);
    let nonce = hex_lower(&nonce);
    let tag = hex_lower(&key.browser_tag(&nonce));
    format!("{nonce}{tag}")
}

/// Whether a key that is still known has made the mark.
fn is_known(mark: &str, callers: &Callers) -> bool {
    let is_whole = mark.len() == MARK_DIGITS && mark.is_ascii();
    is_whole && {
        let (nonce, tag) = mark.split_at(NONCE_DIGITS);
        callers.have_tagged(nonce, tag)
    }
}
