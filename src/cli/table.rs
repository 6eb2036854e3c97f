//! Tables on the terminal: rows under each other, each column as wide as its widest cell.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ColumnConstraint, Width};

/// Blanks between two columns.
const GAP: u16 = 2;
/// A table is no wider: texts are broken at their blanks.
const WIDTH_MAX: u16 = 100;
/// A word longer than this may be broken too.
const WORD_MAX: u16 = 40;
/// No column is narrower where its content is not.
const LEAST: u16 = 5;

/// A table that comes in parts. A column gets wider where a later part needs it.
pub struct TextTable<'a> {
    heading: &'a [&'a str],
    columns: Vec<ColumnWidth>,
}

/// How wide a column wants to be, and its longest word, which stays whole where that is possible.
/// Both are in columns of the terminal, of which a Chinese character takes two.
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
        // The same with one word a line, so that its columns are as wide as their longest words.
        let mut words = comfy_table::Table::new();
        if self.columns.is_empty() {
            let titles = || self.heading.iter().map(|title| title.trim_start_matches('>'));
            table.add_row(titles());
            words.add_row(titles().map(one_a_line));
            self.columns = vec![ColumnWidth::default(); self.heading.len()];
        } else if rows.is_empty() {
            return String::new();
        }
        table.add_rows(rows);
        words.add_rows(rows.iter().map(|row| row.iter().map(|cell| one_a_line(cell))));
        let contents = table.column_max_content_widths();
        let words = words.column_max_content_widths();
        for ((column, content), word) in self.columns.iter_mut().zip(contents).zip(words) {
            column.content = column.content.max(content);
            column.word = column.word.max(word.min(WORD_MAX));
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

/// The columns' widths: as they want to be, or the widest less, down to their words and, where
/// those alone are too wide, below them, so that the line is not longer than [`WIDTH_MAX`].
fn fitted(columns: &[ColumnWidth]) -> Vec<u16> {
    let mut widths: Vec<u16> = columns.iter().map(|column| column.content.max(1)).collect();
    let gaps = GAP * u16::try_from(columns.len().saturating_sub(1)).unwrap_or(u16::MAX);
    let words = columns.iter().map(|column| column.word.max(1)).collect();
    for least in [words, vec![LEAST; columns.len()]] {
        // Each turn takes one column of one width.
        while widths.iter().chain([&gaps]).map(|width| u32::from(*width)).sum::<u32>()
            > u32::from(WIDTH_MAX)
        {
            let can_give = |(index, width): &(usize, &mut u16)| **width > least[*index];
            let widest = widths.iter_mut().enumerate().filter(can_give).max_by_key(|one| *one.1);
            let Some((_, width)) = widest else { break };
            *width -= 1;
        }
    }
    widths
}

/// A cell with each of its words on a line of its own. Chinese may be broken behind any character.
fn one_a_line(cell: &str) -> String {
    let mut words = String::with_capacity(cell.len());
    for character in cell.chars() {
        match character {
            blank if blank.is_whitespace() => words.push('\n'),
            wide if wide >= '\u{2e80}' => words.extend(['\n', wide]),
            other => words.push(other),
        }
    }
    words
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
        // Where the words alone are too wide, those of the widest columns are broken.
        let ids: Vec<String> = (1..=7).map(|nth| format!("{nth}{id}")).collect();
        let text = aligned(&["a", "b", "c", "d", "e", "f", "g"], std::slice::from_ref(&ids));
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).count();
        assert_eq!(digits(&text), digits(&ids.concat()), "{text}");
        // A Chinese character takes two columns of the terminal.
        let name = "中国邮政储蓄银行股份有限公司".repeat(3);
        let text = aligned(&["id", "name", "id"], &[vec![id.to_owned(), name, id.to_owned()]]);
        assert_eq!(text.matches(id).count(), 2, "Chinese is broken before a word is: {text}");
        let columns = |line: &str| line.chars().map(|one| if one.is_ascii() { 1 } else { 2 }).sum();
        let widest: usize = text.lines().map(columns).max().expect("lines");
        assert!(widest <= 100, "{widest}: {text}");
        // A word that no line takes is broken, and nothing of it is lost.
        let url = format!("https://core.internal/{}", "a".repeat(200));
        let text = aligned(&["url"], &[vec![url.clone()]]);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert_eq!(text.lines().skip(1).collect::<String>(), url);
    }
}
