//! How each channel writes its statement down: what an operator downloads at `/statements/<date>`,
//! and what a dialect packs into its own reply.
//!
//! Each format is written by hand from the channel's own point of view and shares nothing with the
//! layouts that read it. No card number is in them but masked ones (I-11).

pub mod acp;
mod tables;

use crate::simulator::settings::{BankTongue, DialectSettings};
use crate::simulator::statement::{Columns, ReversedLines, Statement};

/// A statement's file.
pub struct Paper {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// What the lines of a dialect's format can show.
pub const fn columns_of(dialect: &DialectSettings) -> Columns {
    let (has_status, has_currency) = match dialect {
        DialectSettings::UnionPayAcp(_) => (false, false),
        DialectSettings::HarbourBank(_) | DialectSettings::Iso8583(_) => (true, true),
        DialectSettings::Bank(bank) => match bank.tongue {
            BankTongue::Meadow { .. } => (true, false),
            BankTongue::Quarry { .. } => (true, true),
        },
        DialectSettings::CanyonPay(_) => (false, true),
    };
    Columns { has_status, has_currency }
}

/// What a dialect's real counterpart lists of what was reversed. The banks have a word for it:
/// REVOKED, CANCEL, void. UnionPay's detail has none, and an acquirer clears only what stands.
pub const fn reversed_lines_of(dialect: &DialectSettings) -> ReversedLines {
    match dialect {
        DialectSettings::HarbourBank(_)
        | DialectSettings::Bank(_)
        | DialectSettings::CanyonPay(_) => ReversedLines::Both,
        DialectSettings::UnionPayAcp(_) | DialectSettings::Iso8583(_) => ReversedLines::Neither,
    }
}

/// The file of a date.
pub fn write(dialect: &DialectSettings, statement: &Statement) -> Paper {
    let date = statement.date;
    let (name, bytes) = match dialect {
        DialectSettings::UnionPayAcp(acp) => return acp::zip(statement, &acp.merchant_id),
        DialectSettings::HarbourBank(_) => {
            (format!("harbour-{date}.csv"), tables::commas(statement))
        }
        DialectSettings::Bank(bank) => match bank.tongue {
            BankTongue::Meadow { .. } => {
                (format!("SETTLE_{}_{date}.txt", bank.merchant_id), tables::bars(statement))
            }
            BankTongue::Quarry { .. } => {
                (format!("{}.{date}.dat", bank.merchant_id), tables::fixed(statement))
            }
        },
        DialectSettings::CanyonPay(pay) => {
            (format!("{}-trade-{date}.csv", pay.merchant_id), tables::backticks(statement, pay))
        }
        DialectSettings::Iso8583(_) => {
            (format!("acquirer-{date}.csv"), tables::terminals(statement))
        }
    };
    Paper { name, bytes }
}
