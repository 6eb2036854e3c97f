//! Differences: one row for life, known by its record and by its line.

use std::collections::BTreeMap;

use switchyard::domain::books::difference::{Difference, DifferenceState};
use switchyard::domain::ids::{ChannelOrderNo, DifferenceId};
use switchyard::store::{CommitError, Store};

use crate::rows::{
    changed, day, difference, difference_id, differences, digest, line, neighbour, number, record,
    sequence,
};
use crate::support::books::{channel, due_by, moment};
use crate::{commit, read, refuse};

fn names(differences: &[Difference]) -> Vec<u64> {
    differences.iter().map(|difference| sequence(difference.id.chain())).collect()
}

async fn of_record(store: &dyn Store, date: u32, order: u64) -> Option<u64> {
    let found = read(store.difference_of_record(channel(), day(date), number(order))).await;
    found.map(|difference| sequence(difference.id.chain()))
}

async fn of_line(store: &dyn Store, date: u32, line: u8) -> Option<u64> {
    let found = read(store.difference_of_line(channel(), day(date), digest(line))).await;
    found.map(|difference| sequence(difference.id.chain()))
}

/// A difference with a record, a line, or both, of the 22nd.
fn sided(name: u64, order: Option<u64>, line_number: Option<u8>) -> Difference {
    let record = order.map(|order| record(day(22), order));
    let line = line_number.map(|number| line(day(22), number));
    Difference { record, line, ..difference(name) }
}

pub async fn a_difference_is_found_by_both_of_its_sides(store: &dyn Store) {
    let row = sided(1, Some(7), Some(9));
    commit(store, differences(std::slice::from_ref(&row))).await;
    assert_eq!(read(store.difference(row.id)).await, Some(row.clone()));
    assert_eq!(read(store.difference(difference_id(2))).await, None);
    let found = read(store.difference_of_record(channel(), day(22), number(7))).await;
    assert_eq!(found, Some(row.clone()));
    let found = read(store.difference_of_line(channel(), day(22), digest(9))).await;
    assert_eq!(found, Some(row.clone()));
    assert_eq!(of_record(store, 22, 8).await, None);
    assert_eq!(of_record(store, 23, 7).await, None);
    assert_eq!(of_line(store, 22, 8).await, None);
    assert_eq!(of_line(store, 23, 9).await, None);
    let second = ChannelOrderNo { attempt: 2, ..number(7) };
    assert_eq!(read(store.difference_of_record(channel(), day(22), second)).await, None);
    assert_eq!(read(store.difference_of_record(neighbour(), day(22), number(7))).await, None);
    assert_eq!(read(store.difference_of_line(neighbour(), day(22), digest(9))).await, None);
    refuse(store, differences(std::slice::from_ref(&row)), "version 1 over 1").await;
    let third = Difference { version: 3, ..row.clone() };
    refuse(store, differences(&[third]), "version 3 over 1").await;
    // What it gives up is nobody's.
    let bare = Difference { line: None, ..changed(&row) };
    commit(store, differences(std::slice::from_ref(&bare))).await;
    assert_eq!(of_line(store, 22, 9).await, None);
    assert_eq!(of_record(store, 22, 7).await, Some(1));
    assert_eq!(read(store.difference(row.id)).await, Some(bare));
}

pub async fn two_differences_never_have_one_record_or_line(store: &dyn Store) {
    commit(store, differences(&[sided(1, Some(7), Some(9))])).await;
    refuse(store, differences(&[sided(2, Some(7), None)]), "the record is taken").await;
    refuse(store, differences(&[sided(2, None, Some(9))]), "the line is taken").await;
    let twins = [sided(3, Some(8), None), sided(4, Some(8), None)];
    refuse(store, differences(&twins), "one record twice in a write set").await;
    assert_eq!(of_record(store, 22, 8).await, None);
    // Whatever the state, the row keeps its sides.
    let cleared = changed(&sided(1, Some(7), Some(9)));
    let cleared = Difference { state: DifferenceState::Cleared, due_at: None, ..cleared };
    commit(store, differences(&[cleared])).await;
    refuse(store, differences(&[sided(2, Some(7), None)]), "a cleared row has it").await;
    let other = Difference { channel: neighbour(), ..sided(2, Some(7), Some(9)) };
    commit(store, differences(&[other])).await;
    assert_eq!(of_record(store, 22, 7).await, Some(1));
}

pub async fn one_difference_takes_what_another_gives_up(store: &dyn Store) {
    for (ours, theirs, forward) in [(1, 2, true), (4, 3, false), (5, 6, false), (8, 7, true)] {
        let of_order = sided(ours, Some(ours), None);
        let place = u8::try_from(theirs).expect("a small number");
        let with_line = sided(theirs, None, Some(place));
        commit(store, differences(&[of_order.clone(), with_line.clone()])).await;
        let pair = Difference { line: with_line.line.clone(), ..changed(&of_order) };
        let empty = Difference {
            line: None,
            state: DifferenceState::Cleared,
            due_at: None,
            ..changed(&with_line)
        };
        refuse(store, differences(std::slice::from_ref(&pair)), "the line is not free").await;
        let rows = if forward { [pair, empty] } else { [empty, pair] };
        commit(store, differences(&rows)).await;
        assert_eq!(of_line(store, 22, place).await, Some(ours));
        assert_eq!(of_record(store, 22, ours).await, Some(ours));
    }
    // Two rows change places.
    let (first, second) = (sided(11, Some(21), None), sided(12, Some(22), None));
    commit(store, differences(&[first.clone(), second.clone()])).await;
    let swapped = [
        Difference { record: second.record.clone(), ..changed(&first) },
        Difference { record: first.record.clone(), ..changed(&second) },
    ];
    commit(store, differences(&swapped)).await;
    assert_eq!(of_record(store, 22, 21).await, Some(12));
    assert_eq!(of_record(store, 22, 22).await, Some(11));
    // A row that is written twice keeps what its last version says.
    let taken = sided(13, Some(21), None);
    let free = Difference { record: None, ..changed(&taken) };
    commit(store, differences(&[taken, free])).await;
    assert_eq!(of_record(store, 22, 21).await, Some(12), "it never had it");
}

pub async fn open_and_due_differences_follow_their_state(store: &dyn Store) {
    let due = |name, due_ms| Difference { due_at: Some(moment(due_ms)), ..difference(name) };
    let rows = [due(1, 300), due(2, 100), due(3, 200), due(300, 100)];
    commit(store, differences(&rows)).await;
    let never = Difference { due_at: None, ..difference(4) };
    let elsewhere = Difference { channel: neighbour(), ..due(5, 150) };
    commit(store, differences(&[never, elsewhere])).await;
    let due_at =
        async |now_ms, limit| names(&read(store.due_differences(due_by(now_ms), limit)).await);
    let open = async |after: Option<u64>, limit| {
        let page = store.open_differences(channel(), after.map(difference_id), limit);
        names(&read(page).await)
    };
    assert!(due_at(99, 9).await.is_empty());
    assert_eq!(due_at(100, 9).await, [2, 300]);
    assert_eq!(due_at(999, 9).await, [2, 300, 5, 3, 1]);
    assert_eq!(due_at(999, 3).await, [2, 300, 5]);
    assert_eq!(open(None, 9).await, [1, 2, 3, 4, 300]);
    assert_eq!(open(Some(2), 2).await, [3, 4]);
    assert!(open(None, 0).await.is_empty());
    let moved = |row: &Difference, state| Difference { state, ..changed(row) };
    let ends = [
        moved(&rows[0], DifferenceState::Suspended),
        moved(&rows[1], DifferenceState::Cleared),
        moved(&rows[2], DifferenceState::Balanced),
        Difference { due_at: Some(moment(400)), ..changed(&rows[3]) },
    ];
    commit(store, differences(&ends)).await;
    assert_eq!(due_at(999, 9).await, [5, 300], "only what is carried is due");
    assert_eq!(open(None, 9).await, [1, 4, 300]);
    // A cleared one that is found again is carried anew.
    let again = moved(&ends[1], DifferenceState::Carried);
    commit(store, differences(&[again])).await;
    assert_eq!(due_at(100, 9).await, [2]);
    assert_eq!(open(None, 2).await, [1, 2]);
}

pub async fn differences_are_listed_by_date(store: &dyn Store) {
    let rows = [
        sided(1, Some(300), Some(3)),
        sided(2, Some(5), None),
        sided(3, None, Some(1)),
        Difference { record: Some(record(day(23), 6)), ..sided(4, None, Some(2)) },
        Difference { channel: neighbour(), ..sided(5, Some(5), Some(9)) },
    ];
    commit(store, differences(&rows)).await;
    let records = async |date, after: Option<u64>, limit| {
        let after = after.map(number);
        names(&read(store.differences_of_records(channel(), day(date), after, limit)).await)
    };
    let lines = async |date, after: Option<u8>, limit| {
        let after = after.map(digest);
        names(&read(store.differences_of_lines(channel(), day(date), after, limit)).await)
    };
    assert_eq!(records(22, None, 9).await, [2, 1], "by channel order number");
    assert_eq!(records(22, None, 1).await, [2]);
    assert_eq!(records(22, Some(5), 9).await, [1]);
    assert_eq!(records(23, None, 9).await, [4]);
    assert_eq!(lines(22, None, 9).await, [3, 4, 1], "by digest");
    assert_eq!(lines(22, None, 2).await, [3, 4]);
    assert_eq!(lines(22, Some(2), 9).await, [1]);
    assert!(lines(23, None, 9).await.is_empty());
}

/// Small numbers, so that rows meet on the same record and line all the time.
const NAMES: u64 = 6;
const SIDES: u8 = 5;

/// What the store must hold after any commits, said without indexes.
#[derive(Default)]
struct Model {
    rows: BTreeMap<DifferenceId, Difference>,
}

impl Model {
    /// The model after the rows were written, or `None` if one of the guards forbids it.
    fn after(&self, written: &[Difference]) -> Option<Self> {
        let mut rows = self.rows.clone();
        for row in written {
            let stored = rows.get(&row.id).map_or(0, |stored| stored.version);
            if row.version != stored + 1 {
                return None;
            }
            rows.insert(row.id, row.clone());
        }
        let mut sides: Vec<String> = Vec::new();
        for row in rows.values() {
            sides.extend(row.record.as_ref().map(|side| format!("r{:?}", side.channel_order_no)));
            sides.extend(row.line.as_ref().map(|side| format!("l{:?}", side.digest)));
        }
        let count = sides.len();
        sides.sort();
        sides.dedup();
        (sides.len() == count).then_some(Self { rows })
    }

    fn draw(&self, random: &mut fastrand::Rng) -> Difference {
        let name = random.u64(1..=NAMES);
        let order = random.bool().then(|| random.u64(1..=u64::from(SIDES)));
        let place = random.bool().then(|| random.u8(1..=SIDES));
        let stored = self.rows.get(&difference_id(name)).map_or(0, |stored| stored.version);
        let version = if random.u8(0..8) == 0 { random.u32(1..4) } else { stored + 1 };
        let state = DifferenceState::ALL[random.usize(0..4)];
        let due_at = random.bool().then(|| moment(random.i64(0..5)));
        Difference { version, state, due_at, ..sided(name, order, place) }
    }
}

pub async fn random_histories_of_differences_equal_a_plain_model(store: &dyn Store) {
    let seed = 7;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut model = Model::default();
    let (mut written, mut refused) = (0, 0);
    for step in 0..150 {
        let rows: Vec<_> = (0..random.usize(1..4)).map(|_| model.draw(&mut random)).collect();
        match (store.commit(&differences(&rows)).await, model.after(&rows)) {
            (Ok(()), Some(after)) => (model, written) = (after, written + 1),
            (Err(CommitError::Conflict), None) => refused += 1,
            (end, after) => {
                panic!("seed {seed}, step {step}: {end:?}, though {}", after.is_some())
            }
        }
        equals(store, &model).await;
    }
    assert!(written > 20 && refused > 20, "seed {seed} tries too little: {written}, {refused}");
}

async fn equals(store: &dyn Store, model: &Model) {
    let listed = |keep: &dyn Fn(&Difference) -> bool| -> Vec<Difference> {
        model.rows.values().filter(|row| keep(row)).cloned().collect()
    };
    let open = read(store.open_differences(channel(), None, 99)).await;
    assert_eq!(open, listed(&|row| row.state.is_open()));
    let mut due = listed(&|row| row.state == DifferenceState::Carried && row.due_at.is_some());
    due.sort_by_key(|row| (row.due_at, row.id));
    assert_eq!(read(store.due_differences(due_by(9), 99)).await, due);
    let mut ours = listed(&|row| row.record.is_some());
    ours.sort_by_key(|row| row.record.as_ref().map(|side| side.channel_order_no));
    assert_eq!(read(store.differences_of_records(channel(), day(22), None, 99)).await, ours);
    let mut theirs = listed(&|row| row.line.is_some());
    theirs.sort_by_key(|row| row.line.as_ref().map(|side| side.digest));
    assert_eq!(read(store.differences_of_lines(channel(), day(22), None, 99)).await, theirs);
    for place in 1..=SIDES {
        let has = |row: &&Difference| {
            row.record.as_ref().is_some_and(|side| side.channel_order_no == number(place.into()))
        };
        let name = model.rows.values().find(has).map(|row| sequence(row.id.chain()));
        assert_eq!(of_record(store, 22, place.into()).await, name);
    }
}
