//! A state over time.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// States that ended longer ago are forgotten.
const REMEMBERED: Duration = Duration::from_mins(10);

/// The states of something over time. While it changes it may be found in either state.
#[derive(Debug)]
pub(crate) struct Timeline<T>(VecDeque<Period<T>>);

#[derive(Debug)]
struct Period<T> {
    state: T,
    from: Instant,
    until: Option<Instant>,
}

impl<T: Copy> Timeline<T> {
    pub(crate) fn new(state: T) -> Self {
        Self([Period { state, from: Instant::now(), until: None }].into())
    }

    /// The current state.
    pub(crate) fn now(&self) -> Option<T> {
        self.0.back().map(|period| period.state)
    }

    /// Runs `change`, which changes the state.
    pub(crate) fn change<E>(&mut self, state: T, change: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let from = Instant::now();
        change()?;
        let until = Instant::now();
        if let Some(last) = self.0.back_mut() {
            last.until = Some(until);
        }
        self.0.push_back(Period { state, from, until: None });
        while self.0.front().and_then(|first| first.until).is_some_and(|until| until.elapsed() > REMEMBERED) {
            self.0.pop_front();
        }
        Ok(())
    }

    /// Whether it had such a state at any time between these times.
    pub(crate) fn ever(&self, from: Instant, to: Instant, such: impl Fn(T) -> bool) -> bool {
        let mut met = self
            .0
            .iter()
            .filter(|period| period.from <= to && period.until.is_none_or(|until| until >= from));
        met.any(|period| such(period.state))
    }
}
