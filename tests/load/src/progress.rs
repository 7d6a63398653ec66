//! A progress line on the terminal.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Written over itself on a terminal, and not at all elsewhere.
pub(crate) struct Progress {
    name: String,
    pods: u64,
    rounds: u32,
    round: u32,
    done: u64,
    failed: u64,
    shown: Option<Instant>,
    on_terminal: bool,
}

const PAUSE: Duration = Duration::from_millis(100);

impl Progress {
    pub(crate) fn new(name: &str, pods: u64, rounds: u32) -> Self {
        let on_terminal = std::io::stderr().is_terminal();
        Self { name: name.to_owned(), pods, rounds, round: 0, done: 0, failed: 0, shown: None, on_terminal }
    }

    pub(crate) fn round(&mut self) {
        self.round += 1;
        self.done = 0;
    }

    pub(crate) fn one(&mut self, succeeded: bool) {
        self.done += 1;
        self.failed += u64::from(!succeeded);
        if self.on_terminal && self.shown.is_none_or(|shown| shown.elapsed() > PAUSE) {
            self.shown = Some(Instant::now());
            let Self { name, pods, rounds, round, done, failed, .. } = self;
            let line = format!("{name}: round {round} of {rounds}, {done} of {pods} pods, {failed} failed");
            let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
