//! The channels' statements of the day beside our clearing records, by the layouts of the shipped
//! files: what was reversed is listed twice or not at all, and nothing is left between both sides.

use std::collections::BTreeSet;
use std::path::Path;

use switchyard::channel::file::ChannelFile;
use switchyard::codec::layout::Layout;
use switchyard::config::layout;
use switchyard::config::mistake::Mistakes;
use switchyard::config::raw::Document;
use switchyard::domain::books::reconcile::{Class, Tolerance};
use switchyard::domain::ids::ChannelId;
use switchyard::domain::terms::CommonTerms;
use switchyard::domain::time::BusinessDate;
use switchyard::reconciliation::matching::{
    Budget, Comparison, FileRows, MEMORY_BYTES, NoWatch, StatementInput, reconcile,
};
use switchyard::simulator::{EntryKind, EntryState, LedgerSnapshot, ReversedLines};

use crate::support::Scratch;
use crate::support::core::Core;
use crate::town::{CHANNELS, Channel, Town};

const COLUMNS: [&str; 8] = [
    "channel_order_no",
    "channel_reference",
    "movement",
    "principal",
    "fee",
    "currency",
    "state",
    "date",
];

fn layout_of(channel: Channel) -> Layout {
    let document = Document::parse("shipped.toml", channel.text).expect("TOML");
    let mistakes = Mistakes::new();
    let root = document.root(&mistakes);
    let id = ChannelId::parse(channel.id).expect("an id");
    let file = ChannelFile::read(&root, id, &CommonTerms::default());
    file.statement.and_then(|terms| terms.layout).expect("a layout")
}

/// Our records of a date, as they are exported.
async fn export(core: &Core, channel: &str, date: &str) -> String {
    let records = core.clearing(channel, &[date.to_owned()]).await;
    let rows = records.iter().map(|record| {
        let of = |column: &&str| record[*column].to_string().replace('"', "").replace("null", "");
        COLUMNS.iter().map(of).collect::<Vec<_>>().join(",")
    });
    [COLUMNS.join(",")].into_iter().chain(rows).map(|row| row + "\n").collect()
}

/// The lines of a date that cancel each other, by the channel's own ledger.
fn cancelling(ledger: &LedgerSnapshot, lines: ReversedLines, date: &str) -> usize {
    let pair = |kind| matches!(kind, EntryKind::Charge | EntryKind::Capture);
    let reversed = ledger.entries().iter().filter(|entry| {
        entry.state == EntryState::Reversed
            && pair(entry.kind)
            && entry.reversed_on.as_deref() == Some(date)
    });
    if lines == ReversedLines::Both { 2 * reversed.count() } else { 0 }
}

pub async fn compare(core: &Core, town: &Town) {
    let scratch = Scratch::new();
    for channel in CHANNELS {
        let layout = layout_of(channel);
        let (ledger, lines) = town.ledger_of(channel);
        let dates: BTreeSet<&String> =
            ledger.entries().iter().map(|entry| &entry.settle_date).collect();
        for date in dates {
            let records = export(core, channel.id, date).await;
            let Some(statement) = town.statement(channel.id, date).await else {
                assert_eq!(records.lines().count(), 1, "{}: {records}", channel.id);
                continue;
            };
            let (theirs, ours) = (scratch.path().join("theirs"), scratch.path().join("ours"));
            std::fs::write(&theirs, statement).expect("written");
            std::fs::write(&ours, records).expect("written");
            let date_of = BusinessDate::parse(date).expect("a date");
            let netted = hold((&theirs, &layout), &ours, date_of, scratch.path());
            assert_eq!(netted, cancelling(&ledger, lines, date), "{} {date}", channel.id);
        }
    }
}

/// Holds both files against each other, which must agree; gives how many lines cancel each other.
fn hold(
    (statement, layout): (&Path, &Layout),
    records: &Path,
    date: BusinessDate,
    folder: &Path,
) -> usize {
    let comparison = Comparison {
        date: Some(date),
        tolerance: Tolerance::default(),
        carried: false,
        differences_max: u64::MAX,
        seed: 1,
    };
    let (records_layout, budget) = (layout::records(), Budget::new(MEMORY_BYTES, folder));
    let file = StatementInput { path: statement, layout, summary: None, date: Some(date) };
    let theirs = &mut FileRows::statement(file, &budget, &NoWatch).expect("a file");
    let ours = FileRows::records(records, &records_layout, &budget, &NoWatch);
    let ours = &mut ours.expect("a file");
    let matched = reconcile(theirs, ours, &comparison, &budget, &NoWatch).expect("read");
    let mut netted = 0;
    let told = matched.report(|verdict| {
        match verdict.class {
            Class::MatchedWeak => {}
            Class::Netted => netted += 1,
            other => panic!("{other:?}: {:?} {:?}", verdict.line, verdict.record),
        }
        Ok(())
    });
    assert_eq!(told.expect("a report").problems, []);
    netted
}
