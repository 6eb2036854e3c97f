//! Tables on the terminal: rows under each other, each column as wide as its widest cell.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ColumnConstraint, Width};

/// Blanks between two columns.
const GAP: u16 = 2;

/// A table that comes in parts. A column gets wider where a later part needs it.
pub struct TextTable<'a> {
    heading: &'a [&'a str],
    widths: Vec<u16>,
}

impl<'a> TextTable<'a> {
    /// A column whose heading begins with `>` has numbers, aligned right.
    pub const fn new(heading: &'a [&'a str]) -> Self {
        Self { heading, widths: Vec::new() }
    }

    /// Adds rows and returns them as text; the first ones come with the heading.
    pub fn text(&mut self, rows: &[Vec<String>]) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(NOTHING);
        if self.widths.is_empty() {
            table.add_row(self.heading.iter().map(|title| title.trim_start_matches('>')));
        } else if rows.is_empty() {
            return String::new();
        }
        table.add_rows(rows);
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, GAP));
            if self.heading[index].starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
            if let Some(width) = self.widths.get(index) {
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(*width + GAP)));
            }
        }
        let before = std::mem::replace(&mut self.widths, table.column_max_content_widths());
        for (width, before) in self.widths.iter_mut().zip(before) {
            *width = before.max(*width);
        }
        table.trim_fmt() + "\n"
    }
}

/// A table that comes whole.
pub fn aligned(heading: &[&str], rows: &[Vec<String>]) -> String {
    TextTable::new(heading).text(rows)
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
        let wide = [row("茶叶", "1"), row("a", "2")];
        assert_eq!(aligned(&["id", "n"], &wide), "id    n\n茶叶  1\na     2\n");
        assert_eq!(aligned(&["id", "n"], &[row("a", ""), row("b", "")]), "id  n\na\nb\n");
    }

    #[test]
    fn a_later_page_has_no_second_heading_and_keeps_its_columns() {
        let mut table = TextTable::new(&["id", ">amount"]);
        assert_eq!(table.text(&[row("abc", "1")]), "id   amount\nabc       1\n");
        assert_eq!(table.text(&[row("d", "2")]), "d         2\n");
        assert_eq!(table.text(&[row("longer", "3")]), "longer       3\n");
        assert_eq!(table.text(&[]), "");
        assert_eq!(TextTable::new(&["id"]).text(&[]), "id\n");
    }
}
