//! Wall-clock time, which tests can control.

use std::fmt::Debug;
use std::time::SystemTime;

/// The wall clock that token expiry is measured with.
pub trait Clock: Debug + Send + Sync {
    /// The time since the Unix epoch.
    fn now(&self) -> SystemTime;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// The machine's clock with an offset, for tests of expiry.
#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct ShiftedClock {
    seconds: std::sync::atomic::AtomicU64,
}

#[cfg(test)]
impl ShiftedClock {
    pub(crate) fn advance(&self, by: std::time::Duration) {
        self.seconds.fetch_add(by.as_secs(), std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(test)]
impl Clock for ShiftedClock {
    fn now(&self) -> SystemTime {
        let seconds = self.seconds.load(std::sync::atomic::Ordering::SeqCst);
        SystemTime::now() + std::time::Duration::from_secs(seconds)
    }
}
