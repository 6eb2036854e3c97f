//! Listings of the running daemon, page by page, as a table or as one JSON object a line.

use serde_json::{Map, Value};

use crate::cli::output::{is_closed, say, write};
use crate::cli::remote::{DaemonArgs, encoded};
use crate::cli::table::TextTable;

/// The rows of one page.
const PAGE_ROWS: u32 = 500;

/// How a listing is shown.
pub struct Listing {
    /// The member of the answer that holds the rows.
    pub rows: &'static str,
    /// As a [`TextTable`] has it.
    pub heading: &'static [&'static str],
    /// A row's cells, as many as there are headings.
    pub cells: fn(&Value) -> Vec<String>,
}

impl Listing {
    /// Prints every row that passes the filters. It ends early when the reader has gone.
    pub async fn print(
        &self,
        daemon: &DaemonArgs,
        path: &str,
        filters: &[(&str, Option<&str>)],
    ) -> anyhow::Result<()> {
        let mut table = TextTable::new(self.heading);
        let mut after: Option<String> = None;
        // Bounded by the listing: each page goes on after the last row of the one before.
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

    /// Prints every row that a question in a body finds. Many pages may be empty before one has a
    /// row.
    pub async fn print_found(
        &self,
        daemon: &DaemonArgs,
        path: &str,
        mut body: Map<String, Value>,
    ) -> anyhow::Result<()> {
        let mut table = TextTable::new(self.heading);
        body.insert("limit".to_owned(), PAGE_ROWS.into());
        // Bounded by the listing: each page goes on behind the one before.
        loop {
            let asked = Value::Object(body.clone());
            let page = daemon.json(reqwest::Method::POST, path, Some(&asked)).await?;
            self.print_page(daemon, &mut table, &page)?;
            match page.get("next") {
                Some(next) if !is_closed() => {
                    body.insert("after".to_owned(), next.clone());
                }
                Some(_) | None => return Ok(()),
            }
        }
    }

    /// The same for a listing that comes in one answer.
    pub async fn print_whole(&self, daemon: &DaemonArgs, path: &str) -> anyhow::Result<()> {
        let page = daemon.json(reqwest::Method::GET, path, None).await?;
        self.print_page(daemon, &mut TextTable::new(self.heading), &page)
    }

    /// Prints one page of it.
    pub fn print_page(
        &self,
        daemon: &DaemonArgs,
        table: &mut TextTable<'_>,
        page: &Value,
    ) -> anyhow::Result<()> {
        if daemon.json {
            return list(page, self.rows).try_for_each(|row| say!("{row}"));
        }
        let rows: Vec<Vec<String>> = list(page, self.rows).map(self.cells).collect();
        write(format_args!("{}", table.text(&rows)))
    }
}

pub fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}
