//! The MAC keys of a channel: one that stays, or one for each terminal from its last sign-in.

use std::collections::BTreeMap;

use arc_swap::ArcSwap;

use crate::codec::iso8583::keys;
use crate::codec::iso8583::mac::DesKey;

use super::settings::{KeySource, Mac};

/// A terminal's key, and the one before it: answers may be under way while a sign-in changes it.
#[derive(Clone)]
struct Pair {
    current: DesKey,
    before: Option<DesKey>,
    /// What has brought the current one.
    brought: Vec<u8>,
}

pub(super) struct KeyRing {
    fixed: Option<DesKey>,
    master: Option<DesKey>,
    by_terminal: ArcSwap<BTreeMap<String, Pair>>,
}

impl KeyRing {
    pub fn new(mac: Option<&Mac>) -> Self {
        let (fixed, master) = match mac.map(|mac| &mac.source) {
            None => (None, None),
            Some(KeySource::Fixed(key)) => (Some(key.clone()), None),
            Some(KeySource::SignIn { master }) => (None, Some(master.clone())),
        };
        Self { fixed, master, by_terminal: ArcSwap::default() }
    }

    /// Whether a sign-in must bring a key before anything can be sent.
    pub const fn awaits_sign_in(&self) -> bool {
        self.master.is_some()
    }

    /// Runs `with` on the key to write with.
    pub fn with_current<T>(&self, terminal: &str, with: impl FnOnce(&DesKey) -> T) -> Option<T> {
        match &self.fixed {
            Some(key) => Some(with(key)),
            None => self.by_terminal.load().get(terminal).map(|pair| with(&pair.current)),
        }
    }

    /// Whether `proves` holds for a key that a message may have.
    pub fn any(&self, terminal: &str, proves: impl Fn(&DesKey) -> bool) -> bool {
        match &self.fixed {
            Some(key) => proves(key),
            None => self.by_terminal.load().get(terminal).is_some_and(|pair| {
                proves(&pair.current) || pair.before.as_ref().is_some_and(&proves)
            }),
        }
    }

    /// Takes the keys of a sign-in's answer, once.
    pub fn take(&self, terminal: &str, field: &[u8]) -> Result<(), keys::WorkingKeyError> {
        let Some(master) = &self.master else { return Ok(()) };
        if self.by_terminal.load().get(terminal).is_some_and(|pair| pair.brought == field) {
            return Ok(());
        }
        let opened = keys::open(master, field)?;
        self.by_terminal.rcu(|before| {
            let mut after = BTreeMap::clone(before);
            let last = after.get(terminal).map(|pair: &Pair| pair.current.clone());
            let brought = field.to_vec();
            let pair = Pair { current: opened.mac.clone(), before: last, brought };
            after.insert(terminal.to_owned(), pair);
            after
        });
        Ok(())
    }
}
