//! Percentiles.

use std::time::Duration;

use serde::Serialize;

/// Duration of mounts, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Times {
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Times {
    /// None if there are no mounts.
    pub(crate) fn of(times: &[Duration]) -> Option<Self> {
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        let at = |percent| percentile(&sorted, percent).map(|time| time.as_secs_f64() * 1000.0);
        Some(Self { p50: at(50)?, p95: at(95)?, p99: at(99)?, max: at(100)? })
    }
}

/// The least of `sorted` that so many percent of them do not exceed (nearest rank).
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(numbers: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        numbers.into_iter().map(Duration::from_millis).collect()
    }

    #[test]
    fn a_percentile_is_the_least_that_so_many_do_not_exceed() {
        let hundred = Times::of(&milliseconds((1..=100).rev())).unwrap();
        assert_eq!(hundred, Times { p50: 50.0, p95: 95.0, p99: 99.0, max: 100.0 });
        let three = Times::of(&milliseconds([30, 10, 20])).unwrap();
        assert_eq!(three, Times { p50: 20.0, p95: 30.0, p99: 30.0, max: 30.0 });
        let one = Times::of(&milliseconds([7])).unwrap();
        assert_eq!(one, Times { p50: 7.0, p95: 7.0, p99: 7.0, max: 7.0 });
        assert_eq!(Times::of(&[]), None);
    }
}
