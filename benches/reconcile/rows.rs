//! Writes both sides of a reconciliation with differences planted in them, for `run` beside it.
//!
//! `cargo bench --bench reconcile_rows -- ROWS FOLDER` writes `statement.csv` (as `layout.toml`
//! reads it), `records.csv` (as `switchyard clearing export` writes it) and `planted.csv` (class
//! and number of every row that is no plain match). Run otherwise, it only shows that it works.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

const SEED: u64 = 62;
/// Rows are written in an order of their own on each side, shuffled within windows of this size and
/// the windows among each other: memory stays bounded, and neighbours in one file are none in the
/// other.
const WINDOW: u64 = 1 << 16;
/// One row in a thousand for each class.
const PLANTED_EVERY: u64 = 1_000;
const DATE: &str = "2026-11-20";

const CLASSES: [&str; 12] = [
    "matched_late",
    "matched_weak",
    "amount_over",
    "amount_short",
    "fee_differs",
    "status_differs",
    "currency_differs",
    "only_theirs",
    "only_ours",
    "duplicate_theirs",
    "duplicate_ours",
    "shifted",
];

/// What row `number` is: nothing, or one of the classes.
fn class(number: u64) -> Option<&'static str> {
    let place = mix(number) % PLANTED_EVERY;
    CLASSES.get(usize::try_from(place).expect("below a thousand")).copied()
}

/// Scatters numbers, so that what is planted stands anywhere.
fn mix(number: u64) -> u64 {
    let mixed = (number ^ SEED).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 32
}

struct Row {
    number: u64,
    amount: i64,
    fee: i64,
    refund: bool,
}

impl Row {
    fn of(number: u64) -> Self {
        let drawn = mix(number.wrapping_add(1 << 40));
        let amount = i64::try_from(drawn % 5_000_000 + 100).expect("small");
        let refund = drawn.is_multiple_of(37);
        let sign = if refund { -1 } else { 1 };
        Self { number, amount: sign * amount, fee: sign * (amount * 38 + 5_000) / 10_000, refund }
    }

    fn order_no(&self) -> String {
        format!("2611200{:012}01", self.number + 1)
    }

    fn reference(&self) -> String {
        format!("{:021}", mix(self.number) * 1_000_000_000 + self.number)
    }

    fn operation(&self) -> &'static str {
        if self.refund { "refund" } else { "payment" }
    }
}

/// The numbers from 0 to `rows`, each once, scattered.
fn scattered(rows: u64, seed: u64) -> impl Iterator<Item = u64> {
    let mut random = fastrand::Rng::with_seed(seed);
    let windows = rows.div_ceil(WINDOW);
    let mut order: Vec<u64> = (0..windows).collect();
    random.shuffle(&mut order);
    order.into_iter().flat_map(move |window| {
        // Numbers of a window lie as far from each other as there are windows.
        let mut numbers: Vec<u64> =
            (0..WINDOW).map(|at| at * windows + window).filter(|number| *number < rows).collect();
        random.shuffle(&mut numbers);
        numbers
    })
}

fn statement(path: &Path, rows: u64) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    writeln!(out, "order_no,reference,operation,amount,fee,currency,status,settle_date")?;
    for number in scattered(rows, SEED) {
        let mut row = Row::of(number);
        let (mut currency, mut status, mut order_no) = ("CNY", "succeeded", row.order_no());
        let mut times = 1;
        match class(number) {
            Some("only_ours") => continue,
            Some("duplicate_theirs") => times = 2,
            Some("amount_over") => row.amount += 1,
            Some("amount_short") => row.amount -= 1,
            Some("fee_differs") => row.fee += 1,
            Some("currency_differs") => currency = "HKD",
            Some("status_differs") => status = "failed",
            Some("matched_weak") => order_no = String::new(),
            Some(_) | None => {}
        }
        let (reference, operation) = (row.reference(), row.operation());
        for _ in 0..times {
            writeln!(
                out,
                "{order_no},{reference},{operation},{},{},{currency},{status},{DATE}",
                row.amount, row.fee
            )?;
        }
    }
    out.flush()
}

fn records(path: &Path, rows: u64) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    writeln!(
        out,
        "channel,date,id,channel_order_no,channel_reference,movement,currency,principal,fee,net,\
         fee_rule,state,at"
    )?;
    for number in scattered(rows, SEED + 1) {
        let row = Row::of(number);
        let (mut date, mut times) = (DATE, 1);
        match class(number) {
            Some("only_theirs") => continue,
            Some("duplicate_ours") => times = 2,
            Some("matched_late") => date = "2026-11-19",
            Some("shifted") => date = "2026-11-21",
            Some(_) | None => {}
        }
        let (order_no, reference, operation) = (row.order_no(), row.reference(), row.operation());
        let net = row.amount - row.fee;
        for _ in 0..times {
            writeln!(
                out,
                "harbour-bank,{date},{},{order_no},{reference},{operation},CNY,{},{},{net},\
                 all cards,due,2026-11-20T02:03:04.567Z",
                &order_no[..19],
                row.amount,
                row.fee,
            )?;
        }
    }
    out.flush()
}

fn planted(path: &Path, rows: u64) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    writeln!(out, "class,reference")?;
    for number in 0..rows {
        if let Some(class) = class(number) {
            writeln!(out, "{class},{}", Row::of(number).reference())?;
        }
    }
    out.flush()
}

fn write(rows: u64, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    statement(&folder.join("statement.csv"), rows)?;
    records(&folder.join("records.csv"), rows)?;
    planted(&folder.join("planted.csv"), rows)
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [rows, folder] = &arguments[..]
        && let Ok(rows) = rows.parse()
    {
        return write(rows, &PathBuf::from(folder));
    }
    write(10_000, tempfile::tempdir()?.path())?;
    println!("both sides of 10000 rows can be written; see benches/reconcile/run");
    Ok(())
}
