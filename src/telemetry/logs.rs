//! Log lines, as text or JSON, on standard error.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

/// Starts logging. `verbosity` is that of klog; level 0 is for operators.
///
/// It applies to this crate only, because the HTTP and SDK crates could log secrets at
/// higher levels.
pub fn start(json: bool, verbosity: i32) {
    let level = level(verbosity);
    let lines = fmt::layer().with_writer(io::stderr).with_target(false);
    let lines = if json {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
    } else {
        lines.with_ansi(io::stderr().is_terminal()).boxed()
    };
    start_with(lines, level);
}

/// The level of a verbosity of klog.
pub fn level(verbosity: i32) -> LevelFilter {
    match verbosity {
        ..=1 => LevelFilter::INFO,
        2..=7 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

/// Starts logging with `layer`, which receives this crate's events up to `level`, and warnings of other crates.
pub fn start_with(layer: impl Layer<Registry> + Send + Sync, level: LevelFilter) {
    let targets = Targets::new().with_default(LevelFilter::WARN).with_target("keyvault_csi_provider", level);
    // In a process with several servers, the settings of the first one remain.
    let _ = tracing_subscriber::registry().with(layer.with_filter(targets)).try_init();
}
