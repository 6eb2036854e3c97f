//! Each format's rows, each fault's line, and no panic on any bytes.

use proptest::prelude::*;

use super::*;

/// The rows of a fixture as `bin/length code type brand|issuer name|card name`.
fn told(bytes: &[u8], format: TableFormat) -> Vec<String> {
    let read = read_table(bytes, ReadOptions::default()).expect("a good fixture");
    assert_eq!(read.format, format);
    let rows = read.table.rows().iter();
    rows.map(|row| {
        let (code, kind, brand) = (&row.issuer_code, row.card_type, row.brands);
        let names = format!("{}|{}", row.issuer_name, row.card_name);
        format!("{}/{} {code} {kind} {brand}|{names}", row.bin, row.pan_length)
    })
    .collect()
}

/// The faults of a CSV text as `line code`.
fn faults_of(text: impl AsRef<[u8]>) -> Vec<String> {
    match read_table(text.as_ref(), ReadOptions::default()) {
        Err(UnreadableTable::Invalid(faults)) => {
            assert_eq!(faults.first.len(), faults.count.min(FAULTS_KEPT_MAX));
            let told = |fault: &Fault| format!("{} {}", fault.line, fault.problem.code());
            faults.first.iter().map(told).collect()
        }
        other => panic!("bad lines were expected, not {other:?}"),
    }
}

#[test]
fn the_spreadsheet_gives_its_zeros_back_and_merges_its_tracks() {
    let bytes = fixture("table.xls");
    let expected = [
        "018572/18 14097310 debit unionpay|昆明农联社|金碧卡",
        "622202/19 01020000 debit unionpay|中国工商银行|牡丹灵通卡",
        "62220208/19 01020000 credit unionpay|中国工商银行|牡丹卡",
        "622346/16 47980344 quasi_credit unionpay|中国银行(香港)|",
        "625153/16 00010030 prepaid unionpay|中国银联支付标记|预付卡",
        "95599/19 01030000 debit unionpay|中国农业银行|金穗卡",
    ];
    assert_eq!(told(&bytes, TableFormat::Xls), expected);
    let read = read_table(&bytes, ReadOptions::default()).expect("a good fixture");
    assert_eq!((read.deleted, read.merged, read.encoding), (1, 1, None));
}

/// Its records are few enough to lie in the stream of small streams.
#[test]
fn a_small_spreadsheet_is_read() {
    let bytes = include_bytes!("../../../../tests/fuzz/corpus/bin_table/xls");
    let expected = ["622202/19 01020000 debit unionpay|工商银行|牡丹卡"];
    // Before it stands the byte that chooses its format.
    assert_eq!(told(&bytes[1..], TableFormat::Xls), expected);
}

#[test]
fn the_delimited_text_is_cut_by_bytes() {
    let bytes = fixture("table-delimited-gbk.txt");
    let expected = [
        "018572/18 14097310 debit unionpay|昆明市农村信用合作社联合社有限|a中国银联移动支付标",
        "436742/16 01050000 quasi_credit visa+unionpay|建设银行|龙卡",
        "620120/16 33030410 prepaid unionpay|Woori Card Co.,Ltd|BC-CUPGiftCard",
        "625153/16 00010030 credit unionpay|中国银联支付标记|中国银联移动支付标记",
    ];
    assert_eq!(told(&bytes, TableFormat::Delimited), expected);
    let read = read_table(&bytes, ReadOptions::default()).expect("a good fixture");
    assert_eq!((read.deleted, read.encoding), (1, Some(TextEncoding::Gbk)));
}

#[test]
fn the_fixed_text_ends_at_its_total() {
    let bytes = fixture("table-fixed-gbk.txt");
    let expected = [
        "018572/18 14097310 debit unionpay|昆明农联社|",
        "436742/16 01050000 credit visa+unionpay|建设银行|",
        "6201361/16 00010030 prepaid unionpay|中国银联支付标记|",
        "622202/19 01020000 debit unionpay|a中国工商银行股份有限公司某某|",
    ];
    assert_eq!(told(&bytes, TableFormat::Fixed), expected);
}

#[test]
fn a_text_that_was_turned_into_utf8_reads_the_same() {
    for (name, format) in [
        ("table-delimited-gbk.txt", TableFormat::Delimited),
        ("table-fixed-gbk.txt", TableFormat::Fixed),
    ] {
        let bytes = fixture(name);
        // Lines that were cut inside a character cannot be turned, so they are left out.
        let whole = |line: &&[u8]| !encoding_rs::GBK.decode(line).2;
        let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').filter(whole).collect();
        let gbk = lines.join(&b'\n');
        let utf8 = encoding_rs::GBK.decode(&gbk).0.into_owned();
        assert_eq!(told(utf8.as_bytes(), format), told(&gbk, format), "{name}");
        assert!(told(&gbk, format).len() >= 2, "{name}");
    }
}

#[test]
fn a_csv_may_be_gbk_and_may_carry_a_mark_and_crlf() {
    let text = csv_of(&[("621626", 19, "01020000"), ("622302", 16, "14050000")]);
    let expected = told(text.as_bytes(), TableFormat::Csv);
    let gbk = encoding_rs::GBK.encode(&text).0.into_owned();
    assert_eq!(told(&gbk, TableFormat::Csv), expected);
    let marked = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    assert_eq!(told(marked.as_bytes(), TableFormat::Csv), expected);
}

#[test]
fn all_bad_lines_are_told_with_their_numbers() {
    let mut text = String::from(
        "bin,pan_length,issuer_code,issuer_name,card_name,card_type,bin_length,brand\n\
         621626,19,01020000,a,,debit,6,\n",
    );
    for line in [
        "62x,19,01020000,a,,debit,,",
        "6,19,01020000,a,,debit,,",
        "6216261234567,19,01020000,a,,debit,,",
        "621627,20,01020000,a,,debit,,",
        "621627,+9,01020000,a,,debit,,",
        "621626123456,12,01020000,a,,debit,,",
        "621627,19,0102,a,,debit,,",
        "621627,19,01020000,,,debit,,",
        "621627,19,01020000,a,,charge,,",
        "621627,19,01020000,a,,debit,7,",
        "621627,19,01020000,a,,debit,,discover",
        "621626,19,01020000,a,,debit,6,",
        "621626,19,01020001,a,,debit,6,",
        "621627,19,01020000,a",
        "",
        "x,y,z,a,,w,,",
    ] {
        text.push_str(line);
        text.push('\n');
    }
    let expected = [
        "3 bin_digits",
        "4 bin_length",
        "5 bin_length",
        "6 pan_length",
        "7 pan_length",
        "8 pan_length_not_above",
        "9 issuer_code",
        "10 issuer_name_missing",
        "11 card_type",
        "12 bin_length_differs",
        "13 brand",
        "14 duplicate",
        "15 conflict",
        "16 column_count",
        "18 bin_digits",
        "18 pan_length",
        "18 issuer_code",
        "18 card_type",
    ];
    assert_eq!(faults_of(&text), expected);
}

#[test]
fn a_broken_character_is_told_and_does_not_change_the_encoding() {
    let good = csv_of(&[("621626", 19, "01020000"), ("622302", 16, "14050000")]);
    let mut broken = good.into_bytes();
    let place = broken.iter().position(|byte| *byte >= 0x80).expect("a Chinese name");
    broken[place] = 0xFF;
    assert_eq!(faults_of(&broken), ["2 encoding"]);
    let as_gbk = ReadOptions { encoding: Some(TextEncoding::Gbk), ..ReadOptions::default() };
    assert!(matches!(read_table(&broken, as_gbk), Err(UnreadableTable::Invalid(_))));
}

#[test]
fn a_heading_must_name_what_is_needed_once() {
    assert_eq!(
        faults_of("bin,issuer_code,issuer_name\n"),
        ["1 missing_column", "1 missing_column"]
    );
    let twice = "bin,bin,pan_length,issuer_code,issuer_name,card_type\n";
    assert_eq!(faults_of(twice), ["1 repeated_column"]);
    let open = "bin,pan_length,issuer_code,issuer_name,card_type\n621626,19,01020000,\"a,debit\n\
                621627,19,01020000,a,debit\n";
    assert_eq!(faults_of(open), ["2 open_quote"]);
}

#[test]
fn the_first_hundred_faults_are_kept_and_all_are_counted() {
    let rows: Vec<_> = (0..250).map(|_| ("621626", 3, "01020000")).collect();
    match read_table(csv_of(&rows).as_bytes(), ReadOptions::default()) {
        Err(UnreadableTable::Invalid(faults)) => {
            assert_eq!((faults.first.len(), faults.count), (FAULTS_KEPT_MAX, 250));
            assert_eq!(faults.first[99].line, 101);
        }
        other => panic!("bad lines were expected, not {other:?}"),
    }
}

#[test]
fn i_11_a_fault_repeats_no_card_number() {
    let card = "6216261000000000018";
    let text = format!(
        "bin,pan_length,issuer_code,issuer_name,card_type,brand\n\
         {card},{card},{card},{card},{card},{card}\n"
    );
    let refusal = read_table(text.as_bytes(), ReadOptions::default()).expect_err("bad lines");
    let told = format!("{refusal:?} {refusal}");
    assert!(!told.contains(&card[..7]), "{told}");
}

#[test]
fn what_is_no_table_is_refused_by_name() {
    let code =
        |bytes: &[u8]| read_table(bytes, ReadOptions::default()).expect_err("no table").code();
    assert_eq!(code(b""), "unknown_format");
    assert_eq!(code(b"hello\nworld\n"), "unknown_format");
    assert_eq!(code(b"PK\x03\x04rest"), "zip_archive");
    assert_eq!(code(&vec![b' '; SOURCE_BYTES_MAX + 1]), "too_large");
    assert_eq!(code(csv_of(&[]).as_bytes()), "no_rows");
    assert_eq!(code(&[0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1]), "spreadsheet");
}

#[test]
fn a_damaged_spreadsheet_is_an_error_and_never_a_panic() {
    let whole = fixture("table.xls");
    for end in (8..whole.len()).step_by(131) {
        let _ = read_table(&whole[..end], ReadOptions::default());
    }
    for place in (8..whole.len()).step_by(97) {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x55;
        let _ = read_table(&damaged, ReadOptions::default());
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        format in prop::sample::select(vec![
            TableFormat::Csv, TableFormat::Delimited, TableFormat::Fixed,
        ]),
        encoding in prop::sample::select(vec![TextEncoding::Utf8, TextEncoding::Gbk]),
        cut in 0_usize..400,
    ) {
        let options = ReadOptions { format: Some(format), encoding: Some(encoding) };
        let _ = read_table(&bytes, options);
        let _ = read_table(&bytes, ReadOptions::default());
        for name in ["table-delimited-gbk.txt", "table-fixed-gbk.txt"] {
            let mut mixed = fixture(name);
            mixed.truncate(cut);
            mixed.extend_from_slice(&bytes);
            let _ = read_table(&mixed, options);
            let _ = read_table(&mixed, ReadOptions::default());
        }
    }
}

#[test]
fn every_bad_change_of_a_name_is_told_with_its_line() {
    let head = "issuer_code,old_name,new_name,date,source,kind\n";
    let rows = [
        ("1234567,a,b,2020,x,k\n", vec![(2, "issuer_code")]),
        ("01020000,,b,2020,x,k\n", vec![(2, "issuer_name_missing")]),
        ("01020000,a,b,20,x,k\n", vec![(2, "date")]),
        ("01020000,a,b,2020,,k\n", vec![(2, "source")]),
        ("01020000,a,b,2020,x\n", vec![(2, "column_count")]),
        ("01020000,a,a,2020,x,k\n", vec![(2, "circle")]),
        ("01020000,a,b,2020,x,k\n01020000,a,c,2020,x,k\n", vec![(3, "changes_twice")]),
        ("01020000,a,b,2020,x,k\n\n01020000,b,a,2020,x,k\n", vec![(2, "circle"), (4, "circle")]),
        ("01020000,a,b,2021,x,k\n01020000,b,c,2020,x,k\n", vec![(2, "date_order")]),
    ];
    for (text, expected) in rows {
        let refusal = read_source(format!("{head}{text}").as_bytes(), ReadOptions::default());
        let Err(UnreadableTable::Invalid(faults)) = refusal else { panic!("{text} is read") };
        let told: Vec<(usize, &str)> =
            faults.first.iter().map(|fault| (fault.line, fault.problem.code())).collect();
        assert_eq!(told, expected, "{text}");
    }
    let missing = read_source(b"issuer_code,old_name,date,source\n", ReadOptions::default());
    assert!(matches!(missing, Err(UnreadableTable::Invalid(faults)) if faults.count == 1));
    assert_eq!(read_source(head.as_bytes(), ReadOptions::default()).err(), {
        Some(UnreadableTable::NoRows)
    });
}

#[test]
fn changes_of_names_stand_behind_the_rows_or_alone() {
    let changes = "issuer_code,old_name,new_name,date,source\n01020000,银行,b,2020-05,\"x, y\"\n";
    let read = |text: &str| read_source(text.as_bytes(), ReadOptions::default()).expect("good");
    let ReadSource::Issuers(alone) = read(changes) else { panic!("no changes") };
    assert_eq!(alone.all().len(), 1);
    let refused = read_table(changes.as_bytes(), ReadOptions::default());
    assert_eq!(refused.expect_err("no BINs").code(), "issuers_alone");
    let rows = csv_of(&[("621626", 19, "01020000")]);
    let ReadSource::Table(both) = read(&format!("{rows}{changes}")) else { panic!("no table") };
    assert!(both.states_issuers);
    assert_eq!(both.table.issuers(), &alone);
    assert_eq!(both.table.rows()[0].issuer_name, "b");
    let ReadSource::Table(table) = read(&rows) else { panic!("no table") };
    assert!(!table.states_issuers);
    assert_eq!(table.table.rows()[0].issuer_name, "银行");
}

#[test]
fn a_row_may_say_how_old_it_is_and_since_when_it_is_none() {
    let head = "bin,pan_length,issuer_code,issuer_name,card_type,as_of,retired\n";
    let text = format!("{head}621626,19,01020000,银行,debit,2024-03,2025-08-27\n");
    let read = read_table(text.as_bytes(), ReadOptions::default()).expect("a good table");
    let marks = read.table.marks(&read.table.rows()[0]);
    let told = [marks.as_of, marks.retired].map(|date| date.expect("a date").to_string());
    assert_eq!(told, ["2024-03", "2025-08-27"]);
    assert_eq!(
        write_csv(&read.table),
        write_csv(&{
            read_table(&write_csv(&read.table), ReadOptions::default()).expect("our own").table
        })
    );
    let bad = format!("{head}621626,19,01020000,银行,debit,March,27.8.2025\n");
    let Err(UnreadableTable::Invalid(faults)) = read_table(bad.as_bytes(), ReadOptions::default())
    else {
        panic!("two bad dates")
    };
    assert!(faults.count == 2 && faults.first.iter().all(|one| one.problem.code() == "date"));
}
