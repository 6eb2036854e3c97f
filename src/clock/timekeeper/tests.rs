//! What bears a clock out, what speaks against it, and what neither can do.

use super::*;

const NOON_MS: i64 = 1_795_334_400_000;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
const YEAR_MS: i64 = 365 * DAY_MS;

/// A true time that passes, and a clock that may be wrong about it.
struct Scene {
    truth_ms: Arc<AtomicI64>,
    wrong_by_ms: Arc<AtomicI64>,
    keeper: Timekeeper,
}

fn moment(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

impl Scene {
    /// A start at noon by a clock that is wrong by so much, on books whose last moment was then.
    fn start(wrong_by_ms: i64, last_ms: Option<i64>) -> Self {
        let (truth_ms, wrong_by_ms) =
            (Arc::new(AtomicI64::new(NOON_MS)), AtomicI64::new(wrong_by_ms));
        let wrong_by_ms = Arc::new(wrong_by_ms);
        let of = Box::new(Clock::Manual(Arc::clone(&truth_ms)));
        let clock = Clock::Wrong { of, by_ms: Arc::clone(&wrong_by_ms) };
        let seen =
            last_ms.map(|proven_ms| LastSeen { proven_ms, overruled_off_by_ms: BTreeMap::new() });
        let first_order_at = last_ms.map(|last_ms| moment(last_ms - 30 * DAY_MS));
        let keeper = Timekeeper::start(clock, ClockBaseline { seen, first_order_at }, 2);
        Self { truth_ms, wrong_by_ms, keeper }
    }

    /// A daemon that has run for a minute, on books, with a clock that is right.
    fn running() -> Self {
        let scene = Self::start(0, Some(NOON_MS));
        scene.passes(MINUTE_MS);
        scene
    }

    fn truth(&self) -> i64 {
        self.truth_ms.load(Ordering::SeqCst)
    }

    /// So much time passes, with a look each second.
    fn passes(&self, millis: i64) {
        let until = self.truth() + millis;
        while self.truth() < until {
            self.truth_ms.fetch_add(1_000, Ordering::SeqCst);
            self.keeper.look();
        }
    }

    fn jumps_to(&self, wrong_by_ms: i64) {
        self.wrong_by_ms.store(wrong_by_ms, Ordering::SeqCst);
        self.keeper.look();
    }

    /// A reply of a host comes, whose clock is wrong by so much.
    fn says(&self, host: &str, wrong_by_ms: i64) {
        self.keeper.hear(host, moment(self.truth() + wrong_by_ms));
    }

    fn doubt(&self) -> Option<Doubt> {
        self.keeper.doubt()
    }

    /// By how much what is borne out runs ahead of the truth.
    fn proven_ahead_ms(&self) -> i64 {
        self.keeper.present().proven().as_millis() - self.truth()
    }

    fn shown_ahead_ms(&self) -> i64 {
        self.keeper.now().as_millis() - self.truth()
    }
}

#[test]
fn a_jump_ahead_bears_nothing_out_and_is_doubted_until_it_is_gone() {
    for by_ms in [11 * MINUTE_MS, 20 * HOUR_MS, YEAR_MS] {
        let scene = Scene::running();
        let sent_at = scene.keeper.now();
        scene.jumps_to(by_ms);
        assert_eq!(scene.doubt(), Some(Doubt::Ahead));
        scene.passes(2 * MINUTE_MS);
        assert_eq!(scene.proven_ahead_ms(), 0, "nothing was gained");
        assert_eq!(scene.shown_ahead_ms(), by_ms, "stamps go by the clock");
        let age = scene.keeper.present().age(sent_at);
        assert_eq!(age, Duration::from_secs(120), "what was sent is as old as it is");
        scene.jumps_to(0);
        assert_eq!((scene.doubt(), scene.shown_ahead_ms()), (None, 0), "it goes on by itself");
    }
}

#[test]
fn a_small_jump_gains_a_sixtieth_and_no_more() {
    let scene = Scene::running();
    scene.jumps_to(4 * MINUTE_MS);
    assert_eq!(scene.doubt(), None);
    scene.passes(HOUR_MS);
    let gained_ms = scene.proven_ahead_ms();
    assert!((50_000..=60_000).contains(&gained_ms), "{gained_ms}");
}

#[test]
fn a_clock_that_went_back_stops_nothing() {
    for by_ms in [-2 * MINUTE_MS, -HOUR_MS, -DAY_MS, -YEAR_MS] {
        let scene = Scene::running();
        let sent_at = scene.keeper.now();
        scene.jumps_to(by_ms);
        scene.passes(MINUTE_MS);
        let present = scene.keeper.present();
        assert!(present.age(sent_at) >= Duration::from_secs(58), "{:?}", present.age(sent_at));
        assert!(scene.shown_ahead_ms() > -2_000, "the daemon's clock goes on");
        let doubted = by_ms < -DIFFERENCE_MAX_MS;
        assert_eq!(scene.doubt(), doubted.then_some(Doubt::Behind));
        scene.jumps_to(0);
        assert_eq!(scene.doubt(), None);
    }
}

#[test]
fn a_start_is_held_against_the_last_moment_of_the_books() {
    let after = |gap_ms: i64| Scene::start(0, Some(NOON_MS - gap_ms));
    assert_eq!(after(3_000).doubt(), None, "a restart");
    assert_eq!(after(4 * MINUTE_MS).doubt(), None, "a reboot");
    let night = after(10 * HOUR_MS);
    assert_eq!(night.doubt(), Some(Doubt::Ahead), "a night, or a wrong clock: who knows");
    assert_eq!(night.proven_ahead_ms(), -10 * HOUR_MS);
    assert_eq!(night.shown_ahead_ms(), 0, "stamps go by the clock");
    assert_eq!(after(-YEAR_MS).doubt(), Some(Doubt::Behind), "a dead battery");
    assert_eq!(after(-YEAR_MS).shown_ahead_ms(), YEAR_MS, "the books were later already");
    let empty = Scene::start(YEAR_MS, None);
    assert_eq!(empty.doubt(), None, "nothing speaks against it");
    empty.jumps_to(0);
    assert_eq!(empty.doubt(), Some(Doubt::Behind), "it may have stamped an order meanwhile");
    empty.says("one", 0);
    assert_eq!((empty.doubt(), empty.shown_ahead_ms()), (None, 0), "one reply is enough");
}

#[test]
fn books_without_their_last_moment_are_asked_about() {
    let truth = Arc::new(AtomicI64::new(NOON_MS));
    let first = moment(NOON_MS - 5 * DAY_MS);
    let beginning = ClockBaseline { seen: None, first_order_at: Some(first) };
    let keeper = Timekeeper::start(Clock::Manual(truth), beginning, 2);
    assert_eq!((keeper.doubt(), keeper.present().proven()), (Some(Doubt::Ahead), first));
}

#[test]
fn two_hosts_bear_a_night_out_and_one_does_not() {
    let scene = Scene::start(0, Some(NOON_MS - 10 * HOUR_MS));
    scene.says("one", 0);
    assert_eq!(scene.doubt(), Some(Doubt::Ahead));
    scene.passes(HOUR_MS);
    scene.says("one", 0);
    assert_eq!(scene.doubt(), Some(Doubt::Ahead), "the same one again is still one");
    scene.says("two", 1_000);
    assert_eq!((scene.doubt(), scene.proven_ahead_ms()), (None, 0));
}

#[test]
fn as_many_against_as_for_bear_nothing_out() {
    let scene = Scene::running();
    scene.jumps_to(20 * HOUR_MS);
    for (host, by_ms) in [("c", 0), ("d", 0), ("a", 20 * HOUR_MS), ("b", 20 * HOUR_MS)] {
        scene.says(host, by_ms);
    }
    assert_eq!((scene.doubt(), scene.proven_ahead_ms()), (Some(Doubt::Ahead), 0));
    scene.says("d", 20 * HOUR_MS);
    assert_eq!(scene.doubt(), None, "three of four");
}

#[test]
fn what_was_said_before_a_jump_does_not_speak_of_it() {
    let scene = Scene::running();
    scene.says("one", 0);
    scene.says("two", 0);
    assert_eq!(scene.doubt(), None);
    scene.passes(1_000);
    scene.jumps_to(HOUR_MS);
    assert_eq!(scene.keeper.look().heard, [], "it said so of another clock");
    assert_eq!(scene.doubt(), Some(Doubt::Ahead));
}

#[test]
fn a_lone_contradiction_withholds_trust_and_gives_none() {
    let scene = Scene::running();
    scene.says("one", -HOUR_MS);
    assert_eq!(scene.doubt(), Some(Doubt::Contradicted));
    assert_eq!(scene.proven_ahead_ms(), -HOUR_MS, "no later than anybody else says");
    assert_eq!(scene.shown_ahead_ms(), 0);
    scene.says("two", 0);
    assert_eq!(scene.doubt(), None, "the other one agrees with us: its clock is wrong");
    scene.says("one", DAY_MS);
    scene.says("three", DAY_MS);
    assert_eq!(scene.doubt(), None, "that it may be later passes nothing");
    assert_eq!(scene.proven_ahead_ms(), 0, "and moves nothing");
}

#[test]
fn a_word_of_an_operator_is_taken_and_kept() {
    let scene = Scene::running();
    scene.says("one", -HOUR_MS);
    let wrong = scene.keeper.confirm(moment(scene.truth() - HOUR_MS));
    assert_eq!(wrong, Confirmation::Differs);
    assert_eq!(scene.doubt(), Some(Doubt::Contradicted), "it was not our clock");
    let taken = scene.keeper.confirm(moment(scene.truth() + 30_000));
    assert!(matches!(taken, Confirmation::Taken(ClockStanding { doubt: None, .. })), "{taken:?}");
    scene.passes(HOUR_MS);
    scene.says("one", -HOUR_MS);
    assert_eq!(scene.doubt(), None, "its clock is off by as much as before");
    let kept = scene.keeper.last_seen().overruled_off_by_ms;
    assert_eq!(kept, BTreeMap::from([("one".to_owned(), -HOUR_MS)]));
    scene.says("one", -2 * HOUR_MS);
    assert_eq!(scene.doubt(), Some(Doubt::Contradicted), "that is another word");
}

#[test]
fn an_operator_ends_a_long_standstill_and_a_wrong_belief() {
    let night = Scene::start(0, Some(NOON_MS - 10 * HOUR_MS));
    night.keeper.confirm(moment(night.truth()));
    assert_eq!((night.doubt(), night.proven_ahead_ms()), (None, 0));
    // The books were told a year too much, and nothing but their own clock said so.
    let back = Scene::start(0, Some(NOON_MS + YEAR_MS));
    back.keeper.confirm(moment(back.truth()));
    assert_eq!((back.doubt(), back.shown_ahead_ms()), (None, 0));
    // One host is enough to say that it is earlier: that passes nothing early.
    let back = Scene::start(0, Some(NOON_MS + YEAR_MS));
    back.says("one", 0);
    assert_eq!((back.doubt(), back.shown_ahead_ms()), (None, 0));
}

#[test]
fn the_next_process_knows_what_was_borne_out() {
    let scene = Scene::running();
    scene.jumps_to(YEAR_MS);
    scene.passes(MINUTE_MS);
    let last = scene.keeper.last_seen();
    assert_eq!(last.proven_ms, scene.truth());
    let truth = Arc::new(AtomicI64::new(scene.truth() + 2_000));
    let first_order_at = Some(moment(NOON_MS));
    let beginning = ClockBaseline { seen: Some(last), first_order_at };
    let next = Timekeeper::start(Clock::Manual(truth), beginning, 2);
    assert_eq!(next.doubt(), None);
}

#[test]
fn it_is_kept_in_a_file_that_a_start_reads() {
    let scratch = tempfile::tempdir().expect("a folder");
    let data = scratch.path();
    assert_eq!(LastSeen::read(data).expect("no file yet"), None);
    let scene = Scene::running();
    scene.says("one", -HOUR_MS);
    scene.keeper.confirm(moment(scene.truth()));
    let last = scene.keeper.last_seen();
    last.write(data).expect("it is written");
    assert_eq!(LastSeen::read(data).expect("it reads"), Some(last));
    std::fs::write(data.join("clock.json"), "{\"proven_ms\":1").expect("it is cut");
    let damaged = LastSeen::read(data).map_err(|error| error.kind());
    assert_eq!(damaged, Err(std::io::ErrorKind::InvalidData));
}

#[test]
fn a_date_header_is_heard_once_a_second_and_in_its_own_form() {
    let scene = Scene::running();
    let witness = Witness::of(scene.keeper.clone());
    let heard = || scene.keeper.look().heard.len();
    witness.hear(|| "one".to_owned(), "soon");
    assert_eq!(heard(), 0);
    scene.passes(1_000);
    witness.hear(|| "one".to_owned(), "Sun, 22 Nov 2026 08:01:01 GMT");
    assert_eq!(heard(), 1);
    assert!(scene.keeper.look().heard.iter().all(|one| one.agrees));
    witness.hear(|| "two".to_owned(), "Sun, 22 Nov 2026 08:01:01 GMT");
    assert_eq!(heard(), 1, "too soon after the other");
    scene.passes(1_000);
    witness.hear(|| "two".to_owned(), "Sun, 22 Nov 2026 08:01:02 GMT");
    assert_eq!(heard(), 2);
}
