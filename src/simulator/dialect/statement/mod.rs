//! The file formats of the channels' statements: for an operator who downloads
//! `/statements/<date>`, and for a dialect that packs the file into its own reply.
//!
//! Each format is written by hand from the channel's own point of view and shares nothing with the
//! layouts that read it. Card numbers are masked in all of them (I-11).

pub mod acp;
mod tables;

use crate::simulator::settings::{BankStyle, DialectSettings};
use crate::simulator::statement::ChannelStatement;

/// A statement's file.
pub struct StatementPaper {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// The file of a date.
pub fn write(dialect: &DialectSettings, statement: &ChannelStatement) -> StatementPaper {
    let date = statement.date;
    let (name, bytes) = match dialect {
        DialectSettings::UnionPayAcp(acp) => return acp::zip(statement, &acp.merchant_id),
        DialectSettings::Bank(bank) => {
            let merchant_id = &bank.merchant_id;
            match bank.style {
                BankStyle::Harbour(_) => (format!("harbour-{date}.csv"), tables::commas(statement)),
                BankStyle::Meadow { .. } => {
                    (format!("SETTLE_{merchant_id}_{date}.txt"), tables::bars(statement))
                }
                BankStyle::Quarry { .. } => {
                    (format!("{merchant_id}.{date}.dat"), tables::fixed(statement))
                }
                BankStyle::Canyon { .. } => (
                    format!("{merchant_id}-trade-{date}.csv"),
                    tables::backticks(statement, merchant_id),
                ),
            }
        }
        DialectSettings::Iso8583(_) => {
            (format!("acquirer-{date}.csv"), tables::terminals(statement))
        }
    };
    StatementPaper { name, bytes }
}
