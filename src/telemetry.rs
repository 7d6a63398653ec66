//! Logs and metrics.

pub mod logs;
mod metrics;
mod oldest;
mod source;
mod watched;

use tokio::time::Instant;

pub use metrics::{LostLine, Metrics};
pub use source::{Source, SourceCounts};
pub use watched::{Labels, MetricKind};

/// Whole milliseconds since `started`, for log lines.
pub(crate) fn milliseconds_since(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}
