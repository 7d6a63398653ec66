//! Logs and metrics.

pub mod logs;
mod metrics;
mod oldest;
mod served;
mod watched;

pub use metrics::Metrics;
pub use served::{Came, Served};
pub use watched::{Kind, Labels};
