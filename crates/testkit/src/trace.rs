//! The story of a world: what happened when, for the reader of a failed test.

use jiff::Timestamp;
use std::fmt::Write as _;

/// Lines kept: the end of a long story is what explains a failure.
const KEPT: usize = 120;

/// What happened, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    lines: Vec<(Timestamp, String)>,
    dropped: usize,
}

impl Trace {
    pub(crate) fn tell(&mut self, at: Timestamp, line: String) {
        if self.lines.len() >= KEPT {
            self.lines.remove(0);
            self.dropped += 1;
        }
        self.lines.push((at, line));
    }

    /// The story, times in seconds since `start`.
    pub(crate) fn story(&self, start: Timestamp) -> String {
        let mut story = String::new();
        if self.dropped > 0 {
            story = format!("  ({} earlier lines)\n", self.dropped);
        }
        for (at, line) in &self.lines {
            let seconds = at.duration_since(start).as_millis();
            // Writing to a String cannot fail.
            let _ = writeln!(story, "  {:>7}.{:03} {line}", seconds / 1000, seconds % 1000);
        }
        story
    }
}
