//! Rules of the BIN table, row by row and against a plain scan over random nested tables.

use proptest::prelude::*;

use super::*;

fn row(bin: &str, pan_length: u8, issuer_code: &str) -> BinRow {
    let bin = Bin::parse(bin).expect("a BIN");
    BinRow {
        bin,
        pan_length,
        issuer_code: issuer_code.to_owned(),
        issuer_name: String::new(),
        card_name: String::new(),
        card_type: CardType::Debit,
        brands: CardBrands::of_unionpay_table(&bin),
    }
}

fn built(rows: Vec<BinRow>) -> Result<BinTable, BinTableError> {
    let marked = rows.into_iter().map(|row| (row, RowMarks::default()));
    BinTable::build(marked.collect(), IssuerChanges::default())
}

fn table(rows: &[(&str, u8, &str)]) -> BinTable {
    let rows = rows.iter().map(|(bin, length, code)| row(bin, *length, code)).collect();
    built(rows).expect("a table")
}

/// A card number of the given length that begins with `prefix`; the rest is `filler`.
fn card(prefix: &str, pan_length: usize, filler: char) -> String {
    let rest = pan_length - prefix.len();
    format!("{prefix}{}", String::from(filler).repeat(rest))
}

/// The rule itself, slowly: the longest BIN of the card's length that begins it.
fn scan<'a>(rows: &'a [Arc<BinRow>], digits: &[u8]) -> Option<&'a Arc<BinRow>> {
    rows.iter()
        .filter(|row| usize::from(row.pan_length) == digits.len())
        .filter(|row| digits.starts_with(row.bin.digits()))
        .max_by_key(|row| row.bin.length())
}

#[test]
fn the_longest_bin_of_the_cards_length_wins() {
    let table = table(&[
        ("62", 19, "a"),
        ("622150", 19, "b"),
        ("62215065", 19, "c"),
        ("622150653", 19, "d"),
        ("622150653000", 19, "e"),
        ("622302", 16, "f"),
        ("622302", 18, "g"),
    ]);
    let rows = [
        (card("61", 19, '9'), None),
        (card("62", 19, '0'), Some("a")),
        (card("622150", 19, '0'), Some("b")),
        (card("622150", 19, '9'), Some("b")),
        (card("62215065", 19, '0'), Some("c")),
        (card("62215065", 19, '9'), Some("c")),
        (card("622150653", 19, '9'), Some("d")),
        (card("622150653000", 19, '9'), Some("e")),
        (card("63", 19, '0'), None),
        (card("622150", 16, '0'), None),
        (card("622302", 16, '1'), Some("f")),
        (card("622302", 17, '1'), None),
        (card("622302", 18, '1'), Some("g")),
        (card("622302", 19, '1'), Some("a")),
    ];
    for (number, expected) in rows {
        let found = table.lookup(number.as_bytes()).map(|row| row.issuer_code.as_str());
        assert_eq!(found, expected, "{} of {}", &number[..12], number.len());
    }
}

#[test]
fn bytes_that_are_no_card_number_find_nothing() {
    let table = table(&[("62", 19, "a"), ("6221", 12, "b")]);
    let mut broken = card("62", 19, '0').into_bytes();
    for place in 0..broken.len() {
        let kept = std::mem::replace(&mut broken[place], b'/');
        assert!(table.lookup(&broken).is_none(), "at {place}");
        broken[place] = 0xD9;
        assert!(table.lookup(&broken).is_none(), "at {place}");
        broken[place] = kept;
    }
    assert!(table.lookup(&broken).is_some());
    assert!(table.lookup(b"").is_none());
    assert!(table.lookup(b"62210000000").is_none());
    assert!(table.lookup(b"622100000000").is_some());
    assert!(table.lookup(&[b'6'; 20]).is_none());
    assert!(built(Vec::new()).expect("an empty table").lookup(&broken).is_none());
}

#[test]
fn a_prefix_claims_no_bin_longer_than_itself() {
    let table =
        table(&[("62", 19, "a"), ("622302", 16, "f"), ("622302", 18, "g"), ("62230277", 16, "h")]);
    let codes = |digits: &str, length| -> Vec<String> {
        let matches = table.lookup_prefix(digits.as_bytes(), length);
        matches.rows().map(|row| row.issuer_code.clone()).collect()
    };
    assert_eq!(codes("622302", None), ["f", "g", "a"]);
    assert_eq!(codes("6223027", None), ["f", "g", "a"]);
    assert_eq!(codes("62230277", None), ["h", "g", "a"]);
    assert_eq!(codes("622302770000", Some(16)), ["h"]);
    assert_eq!(codes("622302", Some(17)), [""; 0]);
    assert_eq!(codes("61", None), [""; 0]);
    assert_eq!(codes("6", None), [""; 0]);
    assert_eq!(codes("62x302", None), [""; 0]);
    assert!(table.lookup_prefix(b"622302", None).has_longer_bins);
    assert!(!table.lookup_prefix(b"622302", Some(18)).has_longer_bins);
    assert!(!table.lookup_prefix(b"62230277", None).has_longer_bins);
    assert!(table.lookup_prefix(b"61", None).is_empty());
}

#[test]
fn a_key_stands_once_and_a_card_is_longer_than_its_bin() {
    let (bin, pan_length) = (Bin::parse("621626").expect("a BIN"), 19);
    let twice = built(vec![row("621626", 19, "a"), row("621626", 19, "b")]);
    assert_eq!(twice.err(), Some(BinTableError::DuplicateKey { bin, pan_length }));
    for (bin, pan_length) in [("621626000000", 12), ("621626", 11), ("621626", 20)] {
        let built = built(vec![row(bin, pan_length, "a")]);
        let bin = Bin::parse(bin).expect("a BIN");
        assert_eq!(built.err(), Some(BinTableError::PanLength { bin, pan_length }));
    }
}

#[test]
fn a_brand_follows_the_leading_digits() {
    let rows = [
        ("621626", Brand::UnionPay),
        ("4", Brand::Visa),
        ("42", Brand::Visa),
        ("51", Brand::Mastercard),
        ("559999", Brand::Mastercard),
        ("560000", Brand::UnionPay),
        ("2220999", Brand::UnionPay),
        ("2221", Brand::Mastercard),
        ("272099", Brand::Mastercard),
        ("2721", Brand::UnionPay),
        ("22", Brand::UnionPay),
        ("34", Brand::Amex),
        ("37", Brand::Amex),
        ("3528", Brand::Jcb),
        ("358999", Brand::Jcb),
        ("35", Brand::UnionPay),
        ("3590", Brand::UnionPay),
        ("30", Brand::Diners),
        ("36", Brand::Diners),
        ("38", Brand::Diners),
        ("39", Brand::Diners),
        ("00405512", Brand::UnionPay),
    ];
    for (digits, expected) in rows {
        let digits = if digits.len() == 1 { format!("{digits}0") } else { digits.to_owned() };
        let bin = Bin::parse(&digits).expect("a BIN");
        assert_eq!(Brand::of_range(&bin), expected, "{digits}");
        // A row of UnionPay's table is UnionPay's too, whoever else's it is.
        let brands = CardBrands::of_unionpay_table(&bin);
        assert_eq!(brands.first, expected, "{digits}");
        assert!(brands.contains(Brand::UnionPay), "{digits}");
        assert_eq!(brands.iter().count(), 1 + usize::from(expected != Brand::UnionPay));
    }
}

#[test]
fn of_a_bare_range_only_the_brand_is_known() {
    for (digits, brand) in [
        ("8100", Some(Brand::UnionPay)),
        ("81719999", Some(Brand::UnionPay)),
        ("8150001234567890", Some(Brand::UnionPay)),
        ("8172", None),
        ("8099", None),
        ("810", None),
        ("", None),
        ("6216", None),
    ] {
        assert_eq!(Brand::of_bare_range(digits.as_bytes()), brand, "{digits}");
    }
}

#[test]
fn a_row_shows_todays_name_and_its_source_keeps_the_old_one() {
    let named = |bin: &str, name: &str| {
        let marks = RowMarks { retired: StatedDate::parse("2025-08-27"), ..RowMarks::default() };
        (BinRow { issuer_name: name.to_owned(), ..row(bin, 19, "04791920") }, marks)
    };
    let rows = vec![named("621626", "old"), named("621627", "new"), named("621628", "branch")];
    let change = |new_name: &str| IssuerChange {
        issuer_code: "04791920".to_owned(),
        old_name: "old".to_owned(),
        new_name: new_name.to_owned(),
        date: StatedDate::parse("2020").expect("a date"),
        source: String::new(),
    };
    let changes = |name| IssuerChanges::of(vec![change(name)]).expect("one change");
    let table = BinTable::build(rows, changes("new")).expect("a table");
    let names = |table: &BinTable| -> Vec<(String, String)> {
        let both = |row: &Arc<BinRow>| (row.issuer_name.clone(), table.stated_name(row).to_owned());
        table.rows().iter().map(both).collect()
    };
    let pair = |shown: &str, stated: &str| (shown.to_owned(), stated.to_owned());
    assert_eq!(names(&table), [pair("new", "old"), pair("new", "new"), pair("branch", "branch")]);
    let again = table.with_issuers(changes("newer"));
    assert_eq!(names(&again)[0], pair("newer", "old"));
    assert_eq!(names(&again)[1], pair("new", "new"));
    let marks = again.marks(&again.rows()[2]);
    assert_eq!(marks.retired.map(|date| date.to_string()).as_deref(), Some("2025-08-27"));
    assert_eq!(again.marks(&row("622222", 19, "04791920")), RowMarks::default());
}

#[test]
fn names_lead_back_to_their_values() {
    for card_type in CardType::ALL {
        assert_eq!(CardType::parse(card_type.name()), Some(card_type));
    }
    for brand in Brand::ALL {
        assert_eq!(Brand::parse(brand.name()), Some(brand));
    }
    for text in ["unionpay", "visa+unionpay", "unionpay+jcb"] {
        assert_eq!(CardBrands::parse(text).map(|brands| brands.to_string()).as_deref(), Some(text));
    }
    for text in ["", "visa+", "+visa", "visa+visa", "visa+unionpay+jcb", "visa unionpay", "Visa"] {
        assert_eq!(CardBrands::parse(text), None, "{text}");
    }
    assert_eq!(CardType::parse("charge"), None);
    assert_eq!(Bin::parse("1"), Err(BinError::Length));
    assert_eq!(Bin::parse("1234567890123"), Err(BinError::Length));
    assert_eq!(Bin::parse("62 16"), Err(BinError::NotDigits));
    assert!(Bin::parse("62").expect("a BIN") < Bin::parse("620").expect("a BIN"));
    assert!(Bin::parse("629").expect("a BIN") < Bin::parse("63").expect("a BIN"));
}

/// BINs over few digits, so that nesting, neighbours and shared prefixes are common.
fn crowded_rows() -> impl Strategy<Value = Vec<(String, u8)>> {
    let length = prop::sample::select(vec![13_u8, 16, 19]);
    prop::collection::vec(("[0129]{2,12}", length), 0..40)
}

proptest! {
    #[test]
    fn a_lookup_answers_as_a_plain_scan_does(
        rows in crowded_rows(),
        numbers in prop::collection::vec("[0129]{12,19}", 1..60),
        fillers in prop::collection::vec("[0-9]{19}", 1..10),
    ) {
        let mut keyed: std::collections::BTreeMap<(String, u8), BinRow> = Default::default();
        for (bin, length) in &rows {
            let code = format!("{bin}/{length}");
            keyed.insert((bin.clone(), *length), row(bin, *length, &code));
        }
        let table = built(keyed.into_values().collect()).expect("a table");
        // Half of the cards begin with a BIN of the table and end in any digits.
        let hits = rows.iter().zip(fillers.iter().cycle()).map(|((bin, length), filler)| {
            format!("{bin}{}", &filler[..usize::from(*length) - bin.len()])
        });
        for number in numbers.iter().cloned().chain(hits) {
            let found = table.lookup(number.as_bytes()).map(|row| row.key());
            let expected = scan(table.rows(), number.as_bytes()).map(|row| row.key());
            prop_assert_eq!(found, expected);
        }
    }
}
