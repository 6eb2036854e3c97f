//! What one BIN lookup costs over the shipped table, for card numbers of which nine in ten hit.
//!
//! `cargo bench --bench bin_lookup` measures; any other run only shows that it works. Prints, and
//! claims no pass or fail: time depends on the machine.

use std::hint::black_box;
use std::time::Instant;

use switchyard::domain::bin::BinTable;
use switchyard::tables::bin::shipped_table;

/// Enough different cards that neither they nor the rows they find stay in the first cache level.
const CARDS: usize = 200_000;
const SEED: u64 = 62;

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let rounds = if measured { 50 } else { 1 };
    let table = shipped_table();
    let cards = draw_cards(&table);
    let mut best_ns = f64::INFINITY;
    let mut hits = 0;
    for _ in 0..rounds {
        let begun = Instant::now();
        hits = cards.iter().filter(|card| black_box(table.lookup(card)).is_some()).count();
        best_ns = best_ns.min(begun.elapsed().as_nanos() as f64 / CARDS as f64);
    }
    let share = hits as f64 * 100.0 / CARDS as f64;
    println!("{} rows, {CARDS} cards, {share:.1} % hits, seed {SEED}", table.len());
    println!("{best_ns:.1} ns per lookup (best of {rounds} rounds)");
}

/// Nine in ten begin with a BIN of the table and have its card length; the rest are any digits.
fn draw_cards(table: &BinTable) -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut draw = || {
        let mut card = Vec::new();
        let mut length = random.usize(12..=19);
        if random.u8(0..10) > 0 {
            let row = &table.rows()[random.usize(0..table.len())];
            card.extend_from_slice(row.bin.digits());
            length = usize::from(row.pan_length);
        }
        while card.len() < length {
            card.push(random.u8(b'0'..=b'9'));
        }
        card
    };
    (0..CARDS).map(|_| draw()).collect()
}
