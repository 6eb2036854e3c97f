//! Any bytes: every decoder on its stored inputs and on what is made of them.
//!
//! What must hold stands in `decoders/`. The inputs of `fuzz/corpus/` came from golden samples and
//! from fuzzing runs; each is played as it is and then changed some times over. The seed is printed
//! when something does not hold, and `SWITCHYARD_FUZZ_SEED` takes it; `SWITCHYARD_FUZZ_ROUNDS` is
//! how many changed inputs are made of each stored one.

mod decoders;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use decoders::{DECODERS, Decoder, check};

/// Of one folder of stored inputs, and of one of them: they are read by people too.
const FILES_MAX: usize = 40;
const FILE_BYTES_MAX: usize = 4 * 1024;
/// Changes that are made to an input at most.
const CHANGES_MAX: usize = 4;
/// Numbers at which lengths and counts go wrong.
const EDGES: [&[u8]; 8] =
    [b"\0", b"\xff", b"\xff\xff", b"\x7f\xff\xff\xff", b"\x80", b"9999", b"\xff\xff\xff\xff", b""];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// The stored inputs of a decoder, by name.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = folder().join("corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut files: Vec<(String, Vec<u8>)> = entries
        .map(|entry| {
            let path = entry.expect("a file").path();
            let file = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
            (file, fs::read(&path).expect("a file of ours"))
        })
        .collect();
    files.sort();
    files
}

fn number_from(variable: &str, usual: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is not a number")),
        Err(_) => usual,
    }
}

/// Plays a decoder's inputs, as they are and changed.
fn play(name: &str) {
    let decoder: &Decoder = DECODERS.iter().find(|one| one.name == name).expect("it is listed");
    let seed = number_from("SWITCHYARD_FUZZ_SEED", 1);
    let rounds = number_from("SWITCHYARD_FUZZ_ROUNDS", u64::from(decoder.rounds));
    let files = corpus(name);
    for (file, stored) in &files {
        let mut random = fastrand::Rng::with_seed(seed);
        for round in 0..=rounds {
            let mut input = stored.clone();
            if round > 0 {
                change(&mut input, &files, &mut random);
            }
            let holds = catch_unwind(AssertUnwindSafe(|| check(name, &input)));
            assert!(holds.is_ok(), "{name}: {file}, seed {seed}, round {round}: {input:02x?}");
        }
    }
}

/// Changes an input in some places.
fn change(input: &mut Vec<u8>, files: &[(String, Vec<u8>)], random: &mut fastrand::Rng) {
    for _ in 0..random.usize(1..=CHANGES_MAX) {
        let at = random.usize(0..=input.len());
        let end = random.usize(at..=input.len().min(at + 16));
        match random.u8(0..7) {
            0 => input.truncate(at),
            1 => drop(input.drain(at..end)),
            2 => {
                let piece = input[at..end].to_vec();
                input.splice(at..at, piece);
            }
            3 => {
                let edge = EDGES[random.usize(..EDGES.len())];
                input.splice(at..end, edge.iter().copied());
            }
            4 => {
                let (_, other) = &files[random.usize(..files.len())];
                let from = random.usize(0..=other.len());
                let piece = &other[from..other.len().min(from + 64)];
                input.splice(at..end, piece.iter().copied());
            }
            _ if input.is_empty() => input.push(random.u8(..)),
            5 => input[at.min(end.saturating_sub(1))] ^= 1 << random.u8(0..8),
            _ => {
                let last = input.len() - 1;
                input[at.min(last)] = random.u8(..);
            }
        }
    }
}

macro_rules! every_input_of {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                play(stringify!($name));
            }
        )*

        const PLAYED: &[&str] = &[$(stringify!($name)),*];
    };
}

every_input_of! {
    iso8583 frames form xml order_json declarative links channel_file unionpay statement certificate
    bin_table rows journal
}

#[test]
fn every_decoder_is_played_and_fuzzed_on_stored_inputs() {
    let listed: Vec<&str> = DECODERS.iter().map(|decoder| decoder.name).collect();
    assert_eq!(PLAYED, listed);
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).expect("the fuzz package");
    let targets = manifest.split("[[bin]]\nname = \"").skip(1);
    let targets: Vec<&str> = targets.filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(targets, listed);
    for name in listed {
        let files = corpus(name);
        assert!((1..=FILES_MAX).contains(&files.len()), "{name}: {} inputs", files.len());
        for (file, bytes) in files {
            assert!(bytes.len() <= FILE_BYTES_MAX, "{name}/{file}: {} bytes", bytes.len());
        }
    }
}
