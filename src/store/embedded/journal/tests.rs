//! Turns, torn groups, lost ends and the mark.

use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// A journal that begins after the files' generations, as if those had been flushed.
    fn journal(&self) -> Journal {
        let (mut journal, turns) =
            Journal::open(&Files::of(self.0.path()), 0).expect("a journal that reads");
        journal.begin(turns.newest() + 2);
        journal
    }

    fn turns(&self) -> JournalContent {
        Journal::open(&Files::of(self.0.path()), 0).expect("a journal that reads").1
    }

    /// The groups to replay after a flushed generation; none is missing.
    fn owed_after(&self, flushed: u64) -> Writes {
        let turns = self.turns();
        assert_eq!(turns.missing_after(flushed), None);
        turns.rows(flushed + 1..=turns.newest_after(flushed))
    }

    /// The description of the groups that are missing after a flushed generation.
    fn missing_after(&self, flushed: u64) -> String {
        self.turns().missing_after(flushed).expect("something is missing")
    }

    /// Changes a file's bytes.
    fn spoil(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.0.path().join(name);
        let mut bytes = fs::read(&path).expect("the file");
        change(&mut bytes);
        fs::write(&path, bytes).expect("the file");
    }
}

fn writes(pairs: &[(&str, Option<&str>)]) -> Writes {
    let bytes = |text: &str| text.as_bytes().to_vec();
    pairs.iter().map(|(key, value)| (bytes(key).into(), value.map(bytes))).collect()
}

fn append(journal: &mut Journal, pairs: &[(&str, Option<&str>)]) {
    journal.append(&writes(pairs)).expect("it is written");
    journal.sync().expect("it is synced");
}

/// The length of a frame with one row of a one-letter key and value.
const FRAME: usize = HEADER_BYTES + 8 + 2;

#[test]
fn what_was_written_is_found_with_the_last_value_of_each_key() {
    let folder = Folder::new();
    let mut journal = folder.journal();
    assert!(!folder.turns().has_rows());
    let first = journal.generation();
    append(&mut journal, &[("a", Some("1")), ("b", Some("1"))]);
    append(&mut journal, &[("a", None), ("c", Some(""))]);
    journal.turn();
    append(&mut journal, &[("b", Some("2"))]);
    let expected = writes(&[("a", None), ("b", Some("2")), ("c", Some(""))]);
    assert_eq!(folder.owed_after(first - 1), expected);
    assert_eq!(folder.owed_after(first - 1), expected, "reading changes nothing");
    assert_eq!(folder.owed_after(first), writes(&[("b", Some("2"))]));
    assert_eq!(folder.owed_after(first + 1), Writes::new());
    assert!(folder.turns().has_rows());
}

#[test]
fn a_file_written_over_gives_its_new_turn_only() {
    let folder = Folder::new();
    let mut journal = folder.journal();
    let first = journal.generation();
    // Frames of equal length, so that an old one begins right where a new one ends.
    append(&mut journal, &[("a", Some("1"))]);
    append(&mut journal, &[("b", Some("1"))]);
    journal.turn();
    append(&mut journal, &[("c", Some("2"))]);
    journal.turn();
    append(&mut journal, &[("d", Some("3"))]);
    assert_eq!(folder.owed_after(first), writes(&[("c", Some("2")), ("d", Some("3"))]));
    let mut journal = folder.journal();
    append(&mut journal, &[("e", Some("4"))]);
    assert_eq!(folder.owed_after(journal.generation() - 1), writes(&[("e", Some("4"))]));
}

#[test]
fn i_12_a_torn_last_group_was_never_answered() {
    let first = [("a", Some("1"))];
    for cut in 0..FRAME {
        let folder = Folder::new();
        let mut journal = folder.journal();
        append(&mut journal, &first);
        // The power failed between the write and the sync.
        journal.append(&writes(&[("b", Some("2"))])).expect("it is written");
        folder.spoil(NAMES[0], |bytes| bytes[FRAME + cut..].fill(0));
        assert_eq!(folder.owed_after(1), writes(&first), "cut at {cut}");
    }
}

#[test]
fn i_12_a_first_group_torn_over_a_flushed_turn_is_no_damage() {
    // Whichever of its blocks reached the disk, the turn below it had been flushed.
    for from in 0..3 * FRAME {
        let folder = Folder::new();
        let mut journal = folder.journal();
        let flushed = journal.generation() + 1;
        for value in ["1", "2", "3", "4"] {
            append(&mut journal, &[("a", Some(value))]);
        }
        journal.turn();
        append(&mut journal, &[("b", Some("1"))]);
        journal.turn();
        append(&mut journal, &[("c", Some("1"))]);
        folder.spoil(NAMES[0], |bytes| bytes[from..from + FRAME].fill(7));
        folder.spoil(MARK_NAME, |bytes| bytes.fill(0));
        assert!(folder.turns().missing_after(flushed).is_none(), "from {from}");
    }
}

#[test]
fn i_12_a_lost_end_is_known_by_the_mark() {
    let folder = Folder::new();
    let mut journal = folder.journal();
    let first = journal.generation();
    for value in ["1", "2", "3"] {
        append(&mut journal, &[("a", Some(value))]);
    }
    let whole = fs::read(folder.0.path().join(NAMES[0])).expect("the file");
    for kept in 0..3 {
        folder.spoil(NAMES[0], |bytes| bytes[kept * FRAME..].fill(0));
        let told = folder.missing_after(first - 1);
        assert!(told.contains(&format!("has {kept} of 3 groups")), "{told}");
        folder.spoil(NAMES[0], |bytes| bytes.clone_from(&whole));
    }
    folder.spoil(NAMES[0], Vec::clear);
    assert!(folder.missing_after(first - 1).contains("has 0 of 3 groups"));
    assert_eq!(folder.owed_after(first), Writes::new(), "it had been flushed");
    // The other file's turn: the frames of the first file are still counted.
    folder.spoil(NAMES[0], |bytes| bytes.clone_from(&whole));
    journal.turn();
    append(&mut journal, &[("b", Some("1"))]);
    folder.spoil(NAMES[0], |bytes| bytes[2 * FRAME..].fill(0));
    assert!(folder.missing_after(first - 1).contains("has 2 of 3 groups"));
    folder.spoil(NAMES[0], |bytes| bytes.fill(0));
    assert!(folder.missing_after(first - 1).contains("is missing"));
}

#[test]
fn i_12_a_flipped_bit_before_the_last_group_is_damage_even_without_a_mark() {
    for (at, words) in [(FRAME, "in the middle"), (0, "the first group")] {
        let folder = Folder::new();
        let mut journal = folder.journal();
        for value in ["1", "2", "3"] {
            append(&mut journal, &[("a", Some(value))]);
        }
        folder.spoil(NAMES[0], |bytes| bytes[at + HEADER_BYTES] ^= 1);
        folder.spoil(MARK_NAME, |bytes| bytes[0] ^= 1);
        let told = folder.missing_after(1);
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn a_turn_whose_first_frame_is_torn_never_lends_its_generation() {
    let folder = Folder::new();
    let mut journal = folder.journal();
    append(&mut journal, &[("a", Some("1"))]);
    journal.turn();
    append(&mut journal, &[("b", Some("1"))]);
    let flushed = journal.generation() - 1;
    journal.turn();
    journal.append(&writes(&[("c", Some("1"))])).expect("it is written");
    // The power failed before the only frame of the newest turn was synced.
    folder.spoil(NAMES[0], |bytes| bytes[3] ^= 1);
    assert_eq!(folder.owed_after(flushed), writes(&[("b", Some("1"))]));
    let mut journal = folder.journal();
    append(&mut journal, &[("e", Some("1"))]);
    assert_eq!(folder.owed_after(journal.generation() - 1), writes(&[("e", Some("1"))]));
}

#[test]
fn a_large_group_grows_the_file() {
    let folder = Folder::new();
    let mut journal = folder.journal();
    let large = Writes::from([(b"k".to_vec().into(), Some(vec![7; 3 * 1024 * 1024]))]);
    journal.append(&large).expect("it is written");
    journal.append(&writes(&[("a", Some("1"))])).expect("it is written");
    let mut expected = large;
    expected.extend(writes(&[("a", Some("1"))]));
    assert_eq!(folder.owed_after(1), expected);
}
