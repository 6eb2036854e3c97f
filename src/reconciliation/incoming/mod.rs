//! Incoming statements: channels are asked for them, files land in the inbox, and each content
//! becomes a revision of its channel and date.

mod absence;
mod desk;
mod hand_over;
mod import;
mod inbox;
mod shared;

pub use self::desk::{FetchError, FetchedStatement, StatementDesk, StatementStanding};
pub use self::import::{ImportDesk, ImportResult, LandedStatement, StatementUpload, UploadContent};
pub use self::inbox::{Inbox, InboxFile};
