//! Tables on the terminal: rows under each other, each column as wide as its widest cell.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ColumnConstraint, Width};

/// Blanks between two columns.
const GAP: u16 = 2;
/// A table is no wider: texts are broken at their blanks.
const WIDTH_MAX: u16 = 100;
/// A word longer than this may be broken too.
const WORD_MAX: u16 = 40;

/// A table that comes in parts. A column gets wider where a later part needs it.
pub struct TextTable<'a> {
    heading: &'a [&'a str],
    columns: Vec<ColumnWidth>,
}

/// How wide a column wants to be, and its longest word, which stays whole.
#[derive(Debug, Clone, Copy, Default)]
struct ColumnWidth {
    content: u16,
    word: u16,
}

impl<'a> TextTable<'a> {
    /// A column whose heading begins with `>` has numbers, aligned right.
    pub const fn new(heading: &'a [&'a str]) -> Self {
        Self { heading, columns: Vec::new() }
    }

    /// Adds rows and returns them as text; the first ones come with the heading.
    pub fn text(&mut self, rows: &[Vec<String>]) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(NOTHING);
        let titles = || self.heading.iter().map(|title| title.trim_start_matches('>'));
        let mut words: Vec<u16> = vec![0; self.heading.len()];
        let longest_word = |cell: &str| {
            let words = cell.split_whitespace().map(|word| word.chars().count());
            u16::try_from(words.max().unwrap_or(0)).unwrap_or(u16::MAX).min(WORD_MAX)
        };
        for row in rows {
            for (longest, cell) in words.iter_mut().zip(row) {
                *longest = (*longest).max(longest_word(cell));
            }
        }
        if self.columns.is_empty() {
            table.add_row(titles());
            for (longest, title) in words.iter_mut().zip(titles()) {
                *longest = (*longest).max(longest_word(title));
            }
            self.columns = vec![ColumnWidth::default(); self.heading.len()];
        } else if rows.is_empty() {
            return String::new();
        }
        table.add_rows(rows);
        let contents = table.column_max_content_widths();
        for ((column, content), word) in self.columns.iter_mut().zip(contents).zip(words) {
            column.content = column.content.max(content);
            column.word = column.word.max(word);
        }
        let widths = fitted(&self.columns);
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, GAP));
            if self.heading[index].starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(widths[index] + GAP)));
        }
        table.trim_fmt() + "\n"
    }
}

/// The columns' widths: as they want to be, or the widest less, down to their words, so that the
/// line is not longer than [`WIDTH_MAX`].
fn fitted(columns: &[ColumnWidth]) -> Vec<u16> {
    let mut widths: Vec<u16> = columns.iter().map(|column| column.content.max(1)).collect();
    let gaps = GAP * u16::try_from(columns.len().saturating_sub(1)).unwrap_or(u16::MAX);
    // Each turn takes one column of one width.
    while widths.iter().chain([&gaps]).map(|width| u32::from(*width)).sum::<u32>()
        > u32::from(WIDTH_MAX)
    {
        let can_give = |(index, width): &(usize, &mut u16)| **width > columns[*index].word.max(1);
        let widest = widths.iter_mut().enumerate().filter(can_give).max_by_key(|one| *one.1);
        let Some((_, width)) = widest else { break };
        *width -= 1;
    }
    widths
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

    #[test]
    fn a_wide_table_breaks_its_texts_and_no_word() {
        let error = "the other side answered in a way that takes many words to tell ".repeat(3);
        let id = "2611221000000000001";
        let rows = [vec![id.to_owned(), "12.30 CNY".to_owned(), error.clone()]];
        let text = aligned(&["id", ">amount", "last error"], &rows);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert!(text.contains(id) && text.contains("12.30 CNY"), "{text}");
        let words: Vec<&str> = text.split_whitespace().collect();
        assert!(error.split_whitespace().all(|word| words.contains(&word)), "{text}");
        // A word that no line takes is broken, and nothing of it is lost.
        let url = format!("https://core.internal/{}", "a".repeat(200));
        let text = aligned(&["url"], &[vec![url.clone()]]);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert_eq!(text.lines().skip(1).collect::<String>(), url);
    }
}
