//! `switchyard bin changes`: the rows and the changes of issuers' names that differ between two
//! versions of the folder.

use std::io::Write;

use serde::Serialize;

use super::{BinArgs, open_live, print_counts, print_refusal};
use crate::cli::output::is_closed;
use crate::cli::table::{TextTable, aligned};
use crate::domain::time::Timestamp;
use crate::tables::bin::{
    DiffCounts, IssuerNameView, NameChangeView, RowChangeView, RowView, TableDiff,
    UnreadableVersion, name_changes, row_changes,
};

/// Rows that are laid out at once.
const ROWS_AT_ONCE: usize = 200;

#[derive(Serialize)]
struct ChangesTold<'table> {
    from: u32,
    to: u32,
    counts: DiffCounts,
    changes: Vec<RowChangeView<'table>>,
    issuer_changes: Vec<NameChangeView<'table>>,
}

/// Prints what differs from one version to another one, else to the live one.
pub(super) fn changes(
    args: &BinArgs,
    (from, to): (u32, Option<u32>),
    now: Timestamp,
    output: &mut impl Write,
) -> anyhow::Result<bool> {
    let live = open_live(args)?;
    let to = to.unwrap_or_else(|| live.current().version);
    let found = live.kept(from).and_then(|before| Ok((before, live.kept(to)?)));
    let (before, after) = match found {
        Ok(found) => found,
        Err(UnreadableVersion::Versions(error)) => return Err(error.into()),
        Err(refusal) => {
            print_refusal(refusal.code(), &refusal, None, args.json, output)?;
            return Ok(false);
        }
    };
    let diff = TableDiff::between(&before.table, &after.table);
    let dated = (before.dated(now), after.dated(now));
    let mut changes = row_changes(&before.table, &after.table)
        .filter_map(|change| RowChangeView::of(change, dated.0, dated.1));
    let names = name_changes(before.table.issuers(), after.table.issuers());
    let names = names.filter_map(NameChangeView::of);
    if args.json {
        let (counts, changes) = (diff.counts(), changes.collect());
        let told = ChangesTold { from, to, counts, changes, issuer_changes: names.collect() };
        writeln!(output, "{}", serde_json::to_string(&told)?)?;
        return Ok(true);
    }
    print_counts(&diff, output)?;
    let mut table = TextTable::new(&["bin", ">length", "what", "before", "after"]);
    // Ends with the rows, or when their reader has gone.
    while !is_closed() {
        let rows: Vec<_> = changes.by_ref().take(ROWS_AT_ONCE).map(|one| cells(&one)).collect();
        if rows.is_empty() {
            break;
        }
        output.write_all(table.text(&rows).as_bytes())?;
    }
    let names: Vec<_> = names.map(|one| name_cells(&one)).collect();
    if !names.is_empty() && !is_closed() {
        let heading = ["issuer", "old name", "what", "before", "after"];
        writeln!(output, "\n{}", aligned(&heading, &names).trim_end())?;
    }
    Ok(true)
}

/// The cells of a change of an issuer's name.
fn name_cells(change: &NameChangeView<'_>) -> Vec<String> {
    let told = |name: &Option<IssuerNameView<'_>>| {
        let told = name.as_ref().map(|name| format!("{} since {}", name.new_name, name.date.0));
        told.unwrap_or_else(|| "-".to_owned())
    };
    vec![
        change.issuer_code.to_owned(),
        change.old_name.to_owned(),
        change.kind.name().to_owned(),
        told(&change.before),
        told(&change.after),
    ]
}

/// The cells of a row: of a kept one, only what differs.
fn cells(change: &RowChangeView<'_>) -> Vec<String> {
    let (before, after) = (change.before.as_ref().map(facts), change.after.as_ref().map(facts));
    let told = |own: &Option<[String; 6]>, other: &Option<[String; 6]>| {
        let Some(own) = own else { return "-".to_owned() };
        let differs = |place: usize| other.as_ref().is_none_or(|other| other[place] != own[place]);
        let facts = own.iter().enumerate().filter(|(place, _)| differs(*place));
        let facts: Vec<&str> =
            facts.map(|(_, fact)| fact.as_str()).filter(|fact| !fact.is_empty()).collect();
        if facts.is_empty() { "-".to_owned() } else { facts.join(", ") }
    };
    let kinds: Vec<&str> = change.kinds.iter().map(|kind| kind.name()).collect();
    vec![
        change.bin.to_owned(),
        change.pan_length.to_string(),
        kinds.join(", "),
        told(&before, &after),
        told(&after, &before),
    ]
}

/// The facts of a row, each as its text; empty where it says nothing.
fn facts(row: &RowView<'_>) -> [String; 6] {
    let brands: Vec<&str> = row.brands.iter().map(|brand| brand.name()).collect();
    [
        row.issuer_code.to_owned(),
        row.issuer_name.to_owned(),
        row.card_name.to_owned(),
        row.card_type.to_owned(),
        brands.join(" "),
        row.retired.map_or_else(String::new, |date| format!("retired {}", date.0)),
    ]
}
