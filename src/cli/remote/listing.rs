//! A listing of the running daemon's, page by page, as a table or as one JSON object a line.

use serde_json::Value;

use crate::cli::output::{is_closed, say, write};
use crate::cli::remote::{DaemonArgs, encoded};

/// Rows that are asked for at once.
const PAGE_ROWS: u32 = 500;

/// How a listing is shown.
pub struct Listing {
    /// The member of the answer that holds the rows.
    pub rows: &'static str,
    /// A column is numbers, to the right, where its heading begins with `>`.
    pub heading: &'static [&'static str],
    /// A row's cells, as many as there are headings.
    pub cells: fn(&Value) -> Vec<String>,
}

impl Listing {
    /// Prints every row that the filters leave. It ends early once nobody reads it.
    pub async fn print(
        &self,
        daemon: &DaemonArgs,
        path: &str,
        filters: &[(&str, Option<&str>)],
    ) -> anyhow::Result<()> {
        let mut table = Table::new(self.heading);
        let mut after: Option<String> = None;
        // Ends with the listing: each page goes on after the last row of the one before.
        loop {
            let mut asked = format!("{path}?limit={PAGE_ROWS}");
            let after_filter = ("after", after.as_deref());
            for (name, value) in filters.iter().chain([&after_filter]) {
                if let Some(value) = value {
                    asked += &format!("&{name}={}", encoded(value));
                }
            }
            let page = daemon.json(reqwest::Method::GET, &asked, None).await?;
            self.print_page(daemon, &mut table, &page)?;
            match page.get("next") {
                Some(next) if !is_closed() => {
                    after = Some(next.as_str().map_or_else(|| next.to_string(), str::to_owned));
                }
                Some(_) | None => return Ok(()),
            }
        }
    }

    /// The same of a listing that is answered whole.
    pub async fn print_whole(&self, daemon: &DaemonArgs, path: &str) -> anyhow::Result<()> {
        let page = daemon.json(reqwest::Method::GET, path, None).await?;
        self.print_page(daemon, &mut Table::new(self.heading), &page)
    }

    fn print_page(
        &self,
        daemon: &DaemonArgs,
        table: &mut Table<'_>,
        page: &Value,
    ) -> anyhow::Result<()> {
        if daemon.json {
            return list(page, self.rows).try_for_each(|row| say!("{row}"));
        }
        let rows: Vec<Vec<String>> = list(page, self.rows).map(self.cells).collect();
        write(format_args!("{}", table.text(&rows)))
    }
}

/// A member as people read it; `-` where there is none.
pub fn shown(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

pub fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// Rows under each other, with their heading.
pub fn aligned(heading: &[&str], rows: &[Vec<String>]) -> String {
    Table::new(heading).text(rows)
}

/// A table that comes in parts. A column gets wider where a later part needs it.
struct Table<'a> {
    heading: &'a [&'a str],
    widths: Vec<usize>,
    begun: bool,
}

impl<'a> Table<'a> {
    fn new(heading: &'a [&'a str]) -> Self {
        let width = |title: &&str| title.trim_start_matches('>').len();
        Self { heading, widths: heading.iter().map(width).collect(), begun: false }
    }

    fn text(&mut self, rows: &[Vec<String>]) -> String {
        for row in rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let first: Vec<String> =
            self.heading.iter().map(|title| title.trim_start_matches('>').to_owned()).collect();
        let first = (!std::mem::replace(&mut self.begun, true)).then_some(&first);
        let mut text = String::new();
        for row in first.into_iter().chain(rows) {
            for (column, (cell, width)) in row.iter().zip(&self.widths).enumerate() {
                if column > 0 {
                    text.push_str("  ");
                }
                if self.heading[column].starts_with('>') {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, amount: &str) -> Vec<String> {
        vec![id.to_owned(), amount.to_owned()]
    }

    #[test]
    fn columns_stand_under_each_other() {
        let rows = [row("a", "12"), row("bcd", "3")];
        assert_eq!(aligned(&["id", ">amount"], &rows), "id   amount\na        12\nbcd       3\n");
    }

    #[test]
    fn a_later_page_has_no_second_heading_and_keeps_its_columns() {
        let mut table = Table::new(&["id", ">amount"]);
        assert_eq!(table.text(&[row("abc", "1")]), "id   amount\nabc       1\n");
        assert_eq!(table.text(&[row("d", "2")]), "d         2\n");
        assert_eq!(table.text(&[row("longer", "3")]), "longer       3\n");
    }
}
