//! Shows a release while it moves: a table redrawn in place on a terminal, a line for each change elsewhere.
//! It must not look at the cluster.

use std::io::IsTerminal as _;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use super::view::View;

/// One step of the release on the screen.
pub(super) struct Screen {
    started: Instant,
    table: Option<ProgressBar>,
    last: String,
}

impl Screen {
    /// Begins a step.
    pub(super) fn open() -> Self {
        let table = std::io::stdout().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
            match ProgressStyle::with_template("{msg}") {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        Self {
            started: Instant::now(),
            table,
            last: String::new(),
        }
    }

    /// Shows this moment.
    pub(super) fn show(&mut self, view: &View) {
        if let Some(table) = &self.table {
            table.set_message(indented(&view.table(Timestamp::now())));
            return;
        }
        let line = view.line();
        if line != self.last {
            println!("  {:>5.1} s  {line}", self.started.elapsed().as_secs_f64());
            self.last = line;
        }
    }

    /// Ends the step with this moment as a table that stays.
    pub(super) fn close(self, view: &View) {
        if let Some(table) = &self.table {
            table.finish_and_clear();
        }
        println!("{}", indented(&view.table(Timestamp::now())));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(table) = &self.table {
            table.finish_and_clear();
        }
    }
}

fn indented(text: &str) -> String {
    let lines = text.lines().map(|line| match line {
        "" => String::new(),
        line => format!("  {line}"),
    });
    lines.collect::<Vec<_>>().join("\n")
}
