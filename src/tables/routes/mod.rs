//! The routes file: read, checked, and swapped whole while orders are being planned.
//!
//! A file with any mistake is refused whole, and the running routes stay: half of a routes file
//! would send money where nobody meant it to go. The rule that planned an order is kept with the
//! order, so a reload never alters an accepted one. This module must not know channels beyond their
//! ids, nor choose between them: `domain/route` does.
//!
//! ```toml
//! time_zone = "Asia/Shanghai"      # of hours below; this is what holds where it is left out
//!
//! [[rule]]                         # tried in this order; the first that fits decides
//! name = "large credit cards go to the bank"
//! strategy = "priority"            # priority | weighted | lowest_cost | success_rate
//! channels = ["harbour-bank", "unionpay"]
//! fall_through = false             # true: if all are struck, the next fitting rule decides
//!
//! [rule.when]                      # all must hold; without it the rule fits every order
//! operations = ["payment"]         # or "verification", which has no money: no condition on
//!                                  # amounts, currencies or settlements holds for it
//! amount_from_minor = 100000       # both ends belong to it
//! amount_to_minor = 5000000
//! currencies = ["CNY"]
//! settlements = ["instant"]
//! instruments = ["card"]           # card, agreement, code (of a payer), account (of a payee)
//! card_types = ["credit"]          # a card without a row of the BIN table fits no type,
//! brands = ["unionpay"]            # no brand and no issuer; a code or an account is no card
//! issuer_codes = ["0102"]          # 4 digits: a bank in all regions; 8: one of them
//! bin_prefixes = ["622848"]
//! merchants = ["shop-1"]
//! hours = "08:00-20:00"            # or a list of such; may run over midnight
//! time_zone = "Asia/Shanghai"
//!
//! [[rule]]
//! name = "the rest is shared"
//! strategy = "weighted"
//! channels = ["harbour-bank", "unionpay"]
//! weights = [80, 20]
//! ```
//!
//! `lowest_cost` and `success_rate` without `channels` take every live channel. `success_rate`
//! ranks by what each has made of late of orders like this one (`domain/route/rates.rs`).

mod read;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::codec::sign::sha256_hex;
use crate::config::mistake::Mistake;
use crate::config::raw::TEXT_BYTES_MAX;
use crate::domain::ids::ChannelId;
use crate::domain::route::Rule;

pub use read::{RULES_MAX, read};

/// The rules in force, in their order. Never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Routes {
    pub rules: Vec<Rule>,
    pub origin: Origin,
}

/// Where rules came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    File,
    /// There was no routes file when we started.
    Default,
}

impl Routes {
    /// The routes of an installation without a routes file.
    pub fn default_routes() -> Self {
        Self { rules: vec![Rule::default_rule()], origin: Origin::Default }
    }
}

/// Routes that were read, and are not in force yet.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadRoutes {
    pub routes: Routes,
    /// Of the file's text; empty where there is no file.
    pub sha256: String,
}

/// Why a routes file is refused. The running routes stay.
#[derive(Debug, thiserror::Error)]
pub enum RoutesRefusal {
    #[error("the routes file {} cannot be read", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// A reload found no file where there had been one: a mistake, or an editor half-way through.
    #[error(
        "the routes file {} is gone; its rules stay in force until a restart without it",
        path.display()
    )]
    Gone { path: PathBuf },
    #[error("the routes file has {} mistakes", mistakes.len())]
    Mistaken { mistakes: Vec<Mistake> },
}

/// The result of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReloadResult {
    /// How many rules are in force now.
    pub rules: usize,
    /// Whether they differ from those before.
    pub changed: bool,
}

/// The routes in force. Reading them takes no lock, so a reload delays no order.
#[derive(Debug)]
pub struct LiveRoutes {
    path: PathBuf,
    current: ArcSwap<Routes>,
}

impl LiveRoutes {
    /// Loads the file, or takes the default rule if there is none.
    ///
    /// `known` are the ids of all channels that have a file, whatever their state.
    pub fn load(path: &Path, known: &[ChannelId]) -> Result<Self, RoutesRefusal> {
        let routes = match read_file(path, known) {
            Err(RoutesRefusal::Gone { .. }) => Routes::default_routes(),
            other => other?.routes,
        };
        Ok(Self { path: path.to_owned(), current: ArcSwap::from_pointee(routes) })
    }

    /// The rules of a text that all nodes of a store share; without one the default rule. `path` is
    /// what mistakes in it are said of.
    pub fn of_shared(
        path: &Path,
        text: Option<&str>,
        known: &[ChannelId],
    ) -> Result<Self, RoutesRefusal> {
        let routes = read_shared(path, text, known)?;
        Ok(Self { path: path.to_owned(), current: ArcSwap::from_pointee(routes) })
    }

    /// Every mistake that a shared text has; `known` are the channels that it may name.
    pub fn check_shared(
        &self,
        text: Option<&str>,
        known: &[ChannelId],
    ) -> Result<(), RoutesRefusal> {
        read_shared(&self.path, text, known).map(|_| ())
    }

    /// Puts the rules of a shared text in force, or leaves everything as it is.
    pub fn run_shared(&self, text: Option<&str>, known: &[ChannelId]) -> Result<(), RoutesRefusal> {
        let routes = read_shared(&self.path, text, known)?;
        self.current.store(Arc::new(routes));
        Ok(())
    }

    /// Reads the file again; nothing changes yet. `known` as in [`Self::load`].
    pub fn read_again(&self, known: &[ChannelId]) -> Result<ReadRoutes, RoutesRefusal> {
        match read_file(&self.path, known) {
            Err(RoutesRefusal::Gone { .. }) if self.current().origin == Origin::Default => {
                Ok(ReadRoutes { routes: Routes::default_routes(), sha256: String::new() })
            }
            other => other,
        }
    }

    /// Puts routes that were read in force.
    pub fn put_in_force(&self, read: ReadRoutes) -> ReloadResult {
        let ReadRoutes { routes, .. } = read;
        let changed = routes != *self.current();
        let reloaded = ReloadResult { rules: routes.rules.len(), changed };
        self.current.store(Arc::new(routes));
        reloaded
    }

    /// The routes in force now. Plan one order with one of these, not with two calls.
    pub fn current(&self) -> Arc<Routes> {
        self.current.load_full()
    }

    /// The file that a reload reads.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn read_shared(
    path: &Path,
    text: Option<&str>,
    known: &[ChannelId],
) -> Result<Routes, RoutesRefusal> {
    let Some(text) = text else { return Ok(Routes::default_routes()) };
    let name = path.display().to_string();
    read(&name, text, known).map_err(|mistakes| RoutesRefusal::Mistaken { mistakes })
}

fn read_file(path: &Path, known: &[ChannelId]) -> Result<ReadRoutes, RoutesRefusal> {
    let unreadable = |source| RoutesRefusal::Unreadable { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(RoutesRefusal::Gone { path: path.to_owned() });
        }
        Err(error) => return Err(unreadable(error)),
    };
    // One byte more than is read elsewhere, so that a file that is too long is seen to be.
    let bound = u64::try_from(TEXT_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(bound).read_to_end(&mut bytes).map_err(unreadable)?;
    let name = path.display().to_string();
    let text = String::from_utf8(bytes).map_err(|error| {
        let sound = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..sound].iter().filter(|byte| **byte == b'\n').count() + 1;
        let mistake = Mistake::new(&name, line, "", "is not UTF-8", "save the file as UTF-8");
        RoutesRefusal::Mistaken { mistakes: vec![mistake] }
    })?;
    let routes = read(&name, &text, known);
    let routes = routes.map_err(|mistakes| RoutesRefusal::Mistaken { mistakes })?;
    Ok(ReadRoutes { routes, sha256: sha256_hex(text.as_bytes()) })
}

#[cfg(test)]
mod tests;
