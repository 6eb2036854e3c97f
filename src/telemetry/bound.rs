//! How many lines of one kind the log takes: whoever sends garbage must not be able to fill the
//! disk with it. What is left out is counted and said with the next line.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines of one kind in one [`WINDOW`].
const LINES_MAX: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct LogWindow {
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

/// The bound of one kind of lines.
#[derive(Debug, Default)]
pub struct LineBound {
    told: Mutex<LogWindow>,
}

impl LineBound {
    /// How many lines were left out since the last one; `None` if this one is left out too.
    pub fn turn(&self, now: Instant) -> Option<u64> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = told.since.is_none_or(|since| now.duration_since(since) >= WINDOW);
        if is_over {
            (told.since, told.lines) = (Some(now), 0);
        }
        if told.lines >= LINES_MAX {
            told.left_out = told.left_out.saturating_add(1);
            return None;
        }
        told.lines += 1;
        Some(std::mem::take(&mut told.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_gives_a_few_lines_and_a_count() {
        let bound = LineBound::default();
        let begin = Instant::now();
        let told = (0..1_000).filter(|_| bound.turn(begin).is_some()).count();
        assert_eq!(told, LINES_MAX as usize);
        let later = begin + WINDOW;
        assert_eq!(bound.turn(later), Some(1_000 - u64::from(LINES_MAX)));
        assert_eq!(bound.turn(later), Some(0));
    }
}
