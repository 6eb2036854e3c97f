//! `switchyard difference`, `switchyard settlement`, `switchyard report`: the books of the running
//! daemon, read and put right.

pub mod difference;
pub mod report;
pub mod settlement;

use serde_json::Value;

use crate::cli::remote::{DaemonArgs, encoded};

/// A member as people read it; `-` where there is none.
fn shown(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// Rows under each other. A column is numbers, to the right, where its heading begins with `>`.
fn aligned(heading: &[&str], rows: &[Vec<String>]) -> String {
    let title = |column: usize| heading[column].trim_start_matches('>');
    let right = |column: usize| heading[column].starts_with('>');
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([title(column).len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let first: Vec<String> = (0..heading.len()).map(|column| title(column).to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&first).chain(rows) {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if column > 0 {
                text.push_str("  ");
            }
            if right(column) {
                text.push_str(&format!("{cell:>width$}"));
            } else {
                text.push_str(&format!("{cell:<width$}"));
            }
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// Calls `take` with every row of a listing, page by page.
async fn each(
    daemon: &DaemonArgs,
    path: &str,
    rows: &str,
    mut take: impl FnMut(&Value),
) -> anyhow::Result<()> {
    let mut after: Option<String> = None;
    let join = if path.contains('?') { '&' } else { '?' };
    // Ends with the listing: each page goes on after the last row of the one before.
    loop {
        let mut asked = format!("{path}{join}limit=500");
        if let Some(after) = &after {
            asked += &format!("&after={}", encoded(after));
        }
        let page = daemon.json(reqwest::Method::GET, &asked, None).await?;
        list(&page, rows).for_each(&mut take);
        match page.get("next").and_then(Value::as_str) {
            Some(next) => after = Some(next.to_owned()),
            None => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let rows = [vec!["a".to_owned(), "12".to_owned()], vec!["bcd".to_owned(), "3".to_owned()]];
        assert_eq!(aligned(&["id", ">amount"], &rows), "id   amount\na        12\nbcd       3\n");
    }
}
