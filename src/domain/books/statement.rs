//! Statement files that were taken into the books, by channel, date and revision (S27).

use crate::domain::closed_set;
use crate::domain::ids::ChannelId;
use crate::domain::time::{BusinessDate, Timestamp};

closed_set! {
    /// How a statement's file came.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum StatementOrigin {
        /// Handed in at the API or by the command line.
        Upload = 1 => "upload",
        /// Asked for with the channel's own protocol.
        Download = 2 => "download",
        /// Laid into the inbox folder by hand or by another program.
        Inbox = 3 => "inbox",
    }
}

/// A statement's file that has landed at a node of several, and that all of them can fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LandedFile {
    pub channel: ChannelId,
    pub date: BusinessDate,
    /// Its name in every inbox. One of its own for a date on which nothing happened.
    pub name: String,
    /// In lower-case hexadecimal.
    pub sha256: String,
    pub bytes: u64,
    /// By the store's clock; the file that landed last leads.
    pub landed_at: Timestamp,
    pub origin: StatementOrigin,
    /// The name of the API key's owner; `switchyard` where nobody handed it in.
    pub by: String,
    /// Why its content is refused; empty where it is not.
    pub refused: String,
}

/// One file of a channel for a date. Append-only: a reissued file is a further revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementRevision {
    pub channel: ChannelId,
    pub date: BusinessDate,
    /// From 1. The highest one leads.
    pub revision: u16,
    /// Of the file as it came. The same content is never a second revision.
    pub sha256: [u8; 32],
    /// Its name in the inbox.
    pub name: String,
    pub bytes: u64,
    pub origin: StatementOrigin,
    /// The name of the API key's owner; `switchyard` where nobody handed it in.
    pub by: String,
    pub at: Timestamp,
}
