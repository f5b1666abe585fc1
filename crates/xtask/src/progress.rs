//! Tells the person at the terminal what a long step is doing: a spinner with
//! the elapsed time on a terminal, one line at the start and one at the end
//! elsewhere (CI logs).
//! It must not decide anything; dropping a step without finishing it only
//! clears the spinner.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// One step being worked on.
pub(crate) struct Step {
    label: String,
    started: Instant,
    spinner: Option<ProgressBar>,
}

impl Step {
    /// Begins a step; `label` is a phrase such as `building kubelet (4 of 8)`.
    pub(crate) fn start(label: impl Into<String>) -> Self {
        let label = label.into();
        let spinner = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner().with_message(label.clone());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if spinner.is_none() {
            eprintln!("  {label} ...");
        }
        Self {
            label,
            started: Instant::now(),
            spinner,
        }
    }

    /// Ends the step and says how long it took.
    pub(crate) fn done(self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
        eprintln!("  {}: done in {}", self.label, seconds(self.started.elapsed()));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}

/// A duration as people say it: `0.4 s`, `12 s`, `3 min 20 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        whole @ 10..120 => format!("{whole} s"),
        whole => format!("{} min {} s", whole / 60, whole % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_naturally() {
        assert_eq!(seconds(Duration::from_millis(420)), "0.4 s");
        assert_eq!(seconds(Duration::from_secs(75)), "75 s");
        assert_eq!(seconds(Duration::from_secs(200)), "3 min 20 s");
    }
}
