//! The parts of the work that one node does at a time.

use std::fmt;
use std::str::FromStr;

use crate::domain::closed_set;
use crate::domain::ids::{ChannelId, SHARDS};

closed_set! {
    /// A queue of due rows, which all nodes work, each its shards.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Queue {
        Accounting => "accounting",
        Notices => "notices",
        Reversals => "reversals",
    }
}

/// A part of the work. Who holds it does it; two who do it at once only do it twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    /// A shard of a queue, 0 to 63.
    Shard(Queue, u8),
    /// Closing a channel's clearing days.
    Close(ChannelId),
    /// Fetching and running a channel's statements.
    Reconciliation(ChannelId),
    /// Signing on for the terminals of a channel's links, where that brings keys for all nodes.
    SignOn(ChannelId),
    /// Suspending differences that are carried too long.
    Suspense,
    /// Ending attempts whose node is gone.
    Recovery,
    /// Refreshing the BIN table from its source, and looking for what the books teach of it.
    BinTable,
}

impl fmt::Display for Work {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shard(queue, shard) => write!(formatter, "{queue}/{shard}"),
            Self::Close(channel) => write!(formatter, "close/{channel}"),
            Self::Reconciliation(channel) => write!(formatter, "reconciliation/{channel}"),
            Self::SignOn(channel) => write!(formatter, "sign_on/{channel}"),
            Self::Suspense => formatter.write_str("suspense"),
            Self::Recovery => formatter.write_str("recovery"),
            Self::BinTable => formatter.write_str("bin_table"),
        }
    }
}

/// A stored name of a part of the work is none of ours: it is of a newer version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no part of the work has this name")]
pub struct ParseWorkError;

impl FromStr for Work {
    type Err = ParseWorkError;

    fn from_str(name: &str) -> Result<Self, ParseWorkError> {
        let Some((kind, part)) = name.split_once('/') else {
            return match name {
                "suspense" => Ok(Self::Suspense),
                "recovery" => Ok(Self::Recovery),
                "bin_table" => Ok(Self::BinTable),
                _ => Err(ParseWorkError),
            };
        };
        let channel = || ChannelId::parse(part).map_err(|_| ParseWorkError);
        match kind {
            "close" => channel().map(Self::Close),
            "reconciliation" => channel().map(Self::Reconciliation),
            "sign_on" => channel().map(Self::SignOn),
            _ => {
                let queue = Queue::parse(kind).ok_or(ParseWorkError)?;
                let shard = part.parse().ok().filter(|shard| *shard < SHARDS);
                shard.map(|shard| Self::Shard(queue, shard)).ok_or(ParseWorkError)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_the_work_reads_back_by_its_name() {
        let bank = ChannelId::from_stored("harbour-bank");
        for (work, name) in [
            (Work::Shard(Queue::Accounting, 0), "accounting/0"),
            (Work::Shard(Queue::Reversals, 63), "reversals/63"),
            (Work::Close(bank.clone()), "close/harbour-bank"),
            (Work::SignOn(bank.clone()), "sign_on/harbour-bank"),
            (Work::Reconciliation(bank), "reconciliation/harbour-bank"),
            (Work::Suspense, "suspense"),
            (Work::Recovery, "recovery"),
            (Work::BinTable, "bin_table"),
        ] {
            assert_eq!(work.to_string(), name);
            assert_eq!(name.parse(), Ok(work));
        }
        for name in ["", "close", "close/", "accounting", "accounting/64", "notices/-1", "x/1"] {
            assert_eq!(name.parse::<Work>(), Err(ParseWorkError), "{name}");
        }
    }
}
