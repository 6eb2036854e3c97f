//! The sums of a reconciliation as a table, from the JSON form that both commands have.

use serde_json::Value;

use crate::cli::shown::amount;
use crate::cli::table::aligned;

const HEADING: [&str; 8] =
    ["class", "currency", ">lines", ">amount", ">fee", ">records", ">amount", ">fee"];

/// A row for each class of each currency, the numbers of rows read, the problems of the file as a
/// whole, and the verdict in words.
pub fn table(report: &Value) -> String {
    let mut rows = Vec::new();
    for class in list(report, "classes") {
        rows.push(row(&text(class, "class"), class, class.get("theirs"), class.get("ours")));
    }
    for side in list(report, "not_due") {
        rows.push(row("(not due yet)", side, None, side.get("sums")));
    }
    let bad_lines = report.get("bad_lines").and_then(Value::as_u64).unwrap_or(0);
    if bad_lines > 0 {
        let none = Value::Null;
        let mut cells = row("bad_line", &none, None, None);
        cells[2] = bad_lines.to_string();
        rows.push(cells);
    }
    for currency in currencies(report) {
        let of = |name: &str| {
            let found = list(report, name).find(|side| text(side, "currency") == currency);
            found.and_then(|side| side.get("sums")).cloned()
        };
        let (theirs, ours) = (of("theirs"), of("ours"));
        let of = serde_json::json!({ "currency": currency });
        rows.push(row("(all)", &of, theirs.as_ref(), ours.as_ref()));
    }
    let mut lines = aligned(&HEADING, &rows);
    for problem in list(report, "problems") {
        // A problem of the file as a whole has no line.
        let place = match text(problem, "line").as_str() {
            "0" => "file".to_owned(),
            line => format!("line {line}"),
        };
        lines += &format!("{place}: {}\n", text(problem, "problem"));
    }
    let agreed = report.get("agreed") == Some(&Value::Bool(true));
    lines + if agreed { "both sides agree\n" } else { "there are differences\n" }
}

fn row(name: &str, of: &Value, theirs: Option<&Value>, ours: Option<&Value>) -> Vec<String> {
    let currency = text(of, "currency");
    let mut cells = vec![name.to_owned(), currency.clone()];
    for sums in [theirs, ours] {
        match sums {
            None => cells.extend(["0", "-", "-"].map(str::to_owned)),
            Some(sums) => cells.extend([
                text(sums, "count"),
                amount(sums, "amount", &currency),
                amount(sums, "fee", &currency),
            ]),
        }
    }
    cells
}

/// The currencies in the order in which they are printed.
fn currencies(report: &Value) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for side in list(report, "theirs").chain(list(report, "ours")) {
        let currency = text(side, "currency");
        if !found.contains(&currency) {
            found.push(currency);
        }
    }
    found
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// A member as people read it; empty if it is absent.
fn text(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table_has_each_class_and_what_was_read() {
        let sums = |count: u64, amount: i64| json!({"count": count, "amount": amount, "fee": 3});
        let report = json!({
            "agreed": false,
            "classes": [{"class": "matched", "currency": "CNY",
                         "theirs": sums(2, 500), "ours": sums(2, 500)}],
            "bad_lines": 1,
            "not_due": [{"currency": "CNY", "sums": sums(1, 7)}],
            "theirs": [{"currency": "CNY", "sums": sums(2, 500)}],
            "ours": [{"currency": "CNY", "sums": sums(3, 507)}],
            "problems": [{"line": 4, "problem": "the count differs"}],
        });
        let wanted = "\
class          currency  lines  amount   fee  records  amount   fee
matched        CNY           2    5.00  0.03        2    5.00  0.03
(not due yet)  CNY           0       -     -        1    0.07  0.03
bad_line                     1       -     -        0       -     -
(all)          CNY           2    5.00  0.03        3    5.07  0.03
line 4: the count differs
there are differences
";
        assert_eq!(table(&report), wanted);
    }
}
