//! Charts as SVG: drawn here, coloured by the style sheet, readable without a script.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use minijinja::{HtmlEscape, Value};

use crate::api::language::Language;

/// The drawing's size, and the space that the axes have at its left and below.
const WIDTH: i64 = 960;
const HEIGHT: i64 = 180;
const LEFT: i64 = 56;
const BELOW: i64 = 22;
const ABOVE: i64 = 8;
/// Half of an hour's name, which must not stand out over the right edge.
const HALF_NAME: i64 = 18;
/// Slots of the axis: 24 hours of five minutes.
const SLOTS: i64 = 288;
const HOURS_BETWEEN_TICKS: i64 = 3;
/// Zones are whole quarters of an hour away from UTC.
const QUARTER_S: i64 = 900;

/// A number that a slot has.
fn number(slot: &Value, name: &str) -> i64 {
    slot.get_attr(name).ok().and_then(|value| i64::try_from(value).ok()).unwrap_or(0)
}

fn moment(value: &Value, name: &str) -> Option<Timestamp> {
    value.get_attr(name).ok()?.as_str()?.parse().ok()
}

/// The 24 hours up to `at`, as a frame of axes.
struct Axes {
    svg: String,
    /// The first slot, as seconds since 1970.
    first_s: i64,
    slot_s: i64,
    top: i64,
}

/// The least of 1, 2, 5, 10, … that is not below a number.
fn round_up(number: i64) -> i64 {
    let mut unit = 1;
    // Ends: the unit grows tenfold.
    loop {
        for step in [1, 2, 5] {
            if step * unit >= number {
                return step * unit;
            }
        }
        unit *= 10;
    }
}

impl Axes {
    fn new(day: &Value, zone: &TimeZone, largest: i64, (title, unit): (&str, &str)) -> Self {
        let slot_s = number(day, "slot_seconds").max(1);
        let now_s = moment(day, "at").map_or(0, Timestamp::as_second);
        let first_s = (now_s / slot_s - SLOTS + 1) * slot_s;
        let top = round_up(largest.max(1));
        let title = HtmlEscape(title);
        let mut axes = Self { svg: String::new(), first_s, slot_s, top };
        let _ = write!(
            axes.svg,
            "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{title}\"><title>{title}</title>"
        );
        for part in [0, top / 2, top] {
            let y = axes.y(part);
            let _ = write!(
                axes.svg,
                "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y}\" x2=\"{WIDTH}\" y2=\"{y}\"/>\
                 <text class=\"axis end\" x=\"{}\" y=\"{}\">{part}{unit}</text>",
                LEFT - 6,
                y + 4
            );
        }
        axes.hours(zone);
        axes
    }

    fn x(&self, second: i64) -> i64 {
        LEFT + (second - self.first_s) * (WIDTH - LEFT) / (SLOTS * self.slot_s)
    }

    fn y(&self, value: i64) -> i64 {
        let room = HEIGHT - BELOW - ABOVE;
        HEIGHT - BELOW - value.clamp(0, self.top) * room / self.top
    }

    /// The full hours of the operator's zone.
    fn hours(&mut self, zone: &TimeZone) {
        let last_s = self.first_s + SLOTS * self.slot_s;
        let mut second = self.first_s.div_euclid(QUARTER_S) * QUARTER_S + QUARTER_S;
        // Bounded by the 24 hours.
        while second < last_s {
            let shown = Timestamp::from_second(second).map(|at| at.to_zoned(zone.clone()));
            if let Ok(shown) = shown
                && shown.minute() == 0
                && i64::from(shown.hour()) % HOURS_BETWEEN_TICKS == 0
            {
                let (x, y) = (self.x(second), HEIGHT - BELOW);
                let _ = write!(
                    self.svg,
                    "<line class=\"tick\" x1=\"{x}\" y1=\"{y}\" x2=\"{x}\" y2=\"{}\"/>\
                     <text class=\"axis mid\" x=\"{}\" y=\"{}\">{:02}:00</text>",
                    y + 4,
                    x.min(WIDTH - HALF_NAME),
                    HEIGHT - 4,
                    shown.hour()
                );
            }
            second += QUARTER_S;
        }
    }

    fn end(mut self) -> String {
        self.svg.push_str("</svg>");
        self.svg
    }
}

fn slots(day: &Value) -> Vec<Value> {
    let slots = day.get_attr("slots").ok().and_then(|slots| slots.try_iter().ok());
    slots.into_iter().flatten().collect()
}

/// Requests of each slot, by what became of them.
pub fn requests(day: &Value, zone: &TimeZone, language: Language) -> String {
    let slots = slots(day);
    let largest = slots.iter().map(|slot| number(slot, "requests")).max().unwrap_or(0);
    let title = language.text("chart.requests");
    let mut axes = Axes::new(day, zone, largest, (title, ""));
    let width = ((WIDTH - LEFT) / SLOTS).max(2);
    for slot in &slots {
        let Some(at) = moment(slot, "at") else { continue };
        let (x, mut below) = (axes.x(at.as_second()), 0);
        if x < LEFT {
            continue;
        }
        for (class, name) in [("done", "done"), ("answered", "answered"), ("faults", "faults")] {
            let count = number(slot, name);
            let (from, to) = (axes.y(below), axes.y(below + count));
            below += count;
            if count > 0 {
                let height = (from - to).max(1);
                let _ = write!(
                    axes.svg,
                    "<rect class=\"{class}\" x=\"{x}\" y=\"{}\" width=\"{width}\" \
                     height=\"{height}\"/>",
                    from - height
                );
            }
        }
    }
    axes.end()
}

/// How long requests took in each slot: the mean, and what 95 of 100 stayed within.
pub fn latency(day: &Value, zone: &TimeZone, language: Language) -> String {
    let slots = slots(day);
    let largest = slots.iter().map(|slot| number(slot, "p95_ms")).max().unwrap_or(0);
    let title = language.text("chart.latency");
    let mut axes = Axes::new(day, zone, largest, (title, " ms"));
    for (class, name) in [("p95", "p95_ms"), ("mean", "mean_ms")] {
        let mut path = String::new();
        let mut last_s = None;
        for slot in slots.iter().filter(|slot| number(slot, "requests") > 0) {
            let Some(at) = moment(slot, "at").map(Timestamp::as_second) else { continue };
            if at < axes.first_s {
                continue;
            }
            let (x, y) = (axes.x(at), axes.y(number(slot, name)));
            // A slot without requests breaks the line; one alone is a point.
            let goes_on = last_s.is_some_and(|last| at - last == axes.slot_s);
            let _ = if goes_on { write!(path, "L{x} {y}") } else { write!(path, "M{x} {y}h2") };
            last_s = Some(at);
        }
        let _ = write!(axes.svg, "<path class=\"line {class}\" d=\"{path}\"/>");
    }
    axes.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day() -> Value {
        let slot = |at: &str, done: u32, faults: u32, mean: u32| {
            serde_json::json!({
                "at": at, "requests": done + faults, "done": done, "answered": 0,
                "faults": faults, "mean_ms": mean, "p95_ms": mean * 2,
            })
        };
        Value::from_serialize(serde_json::json!({
            "at": "2026-11-22T08:02:00.000Z", "slot_seconds": 300,
            "slots": [
                slot("2026-11-21T01:00:00.000Z", 99, 0, 9),
                slot("2026-11-22T07:50:00.000Z", 30, 3, 40),
                slot("2026-11-22T07:55:00.000Z", 41, 0, 60),
            ],
        }))
    }

    #[test]
    fn a_day_is_drawn_in_the_operators_zone() {
        let zone = TimeZone::get("Asia/Shanghai").expect("a zone");
        let svg = requests(&day(), &zone, Language::English);
        assert_eq!(svg.matches("<rect class=\"done\"").count(), 2, "what is older is left out");
        assert_eq!(svg.matches("<rect class=\"faults\"").count(), 1);
        assert!(svg.contains(">15:00</text>"), "{svg}");
        assert!(svg.contains(">100</text>"), "the axis ends with a round number: {svg}");
        let svg = latency(&day(), &zone, Language::Chinese);
        assert!(svg.contains(">200 ms</text>"), "{svg}");
        assert!(svg.matches('L').count() >= 2, "{svg}");
        assert!(!svg.contains("style="), "the policy forbids inline styles");
    }

    #[test]
    fn the_hours_are_those_of_any_zone() {
        // The 24 hours end at 08:05 UTC, at x = 960; an hour is 904 / 24 wide.
        for (zone, hour, minutes_before) in [
            ("Asia/Shanghai", "15:00", 65),
            ("Asia/Kolkata", "12:00", 95),
            ("Asia/Kathmandu", "12:00", 110),
            ("Pacific/Chatham", "21:00", 50),
            ("America/St_Johns", "03:00", 95),
        ] {
            let svg = requests(&day(), &TimeZone::get(zone).expect("a zone"), Language::English);
            let x = WIDTH - (WIDTH - LEFT) * minutes_before / (24 * 60);
            let found = svg.split("<text class=\"axis mid\" x=\"").skip(1).find_map(|tick| {
                let (at, rest) = tick.split_once('"')?;
                rest.contains(&format!(">{hour}</text>")).then(|| at.parse::<i64>().ok())?
            });
            let off = found.map(|at| (at - x).abs());
            assert!(off.is_some_and(|off| off <= 1), "{zone}: {found:?} is not {x}: {svg}");
            assert_eq!(svg.matches("class=\"tick\"").count(), 8, "{zone}");
        }
    }

    #[test]
    fn the_name_of_an_hour_that_has_just_struck_is_whole() {
        // 09:00 in Lagos is five minutes before the end.
        let zone = TimeZone::get("Africa/Lagos").expect("a zone");
        let svg = requests(&day(), &zone, Language::English);
        let (before, _) = svg.split_once(">09:00</text>").expect("it is named");
        let (_, at) = before.rsplit_once(" x=\"").expect("a place");
        let x = at.split('"').next().and_then(|x| x.parse::<i64>().ok());
        assert_eq!(x, Some(WIDTH - HALF_NAME), "{svg}");
        assert!(svg.contains("x1=\"957\"") || svg.contains("x1=\"956\""), "its tick stays: {svg}");
    }

    #[test]
    fn an_empty_day_has_axes_and_nothing_else() {
        let svg = requests(&Value::from(()), &TimeZone::UTC, Language::English);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>") && !svg.contains("<rect"));
        assert_eq!([0, 1, 3, 7, 11, 201].map(round_up), [1, 1, 5, 10, 20, 500]);
    }
}
