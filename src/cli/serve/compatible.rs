//! Flags of the Go provider without effect here: those of pprof and of its logger, klog.

use clap::Args;
use clap::builder::ArgAction;

use crate::cli::pipeline::parse_bool;

/// Flags that only apply to Go programs.
#[derive(Args, Clone, Debug)]
pub(super) struct CompatibleArgs {
    #[arg(long, hide = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_parser = parse_bool, default_value = "false", default_missing_value = "true")]
    enable_pprof: bool,
    #[arg(long, hide = true)]
    pprof_port: Option<String>,
    #[command(flatten)]
    klog: KlogArgs,
}

/// The flags that klog's `InitFlags` adds to every program.
#[derive(Args, Clone, Debug)]
struct KlogArgs {
    #[arg(long = "logtostderr", hide = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_parser = parse_bool, default_value = "true", default_missing_value = "true")]
    to_standard_error: bool,
    #[arg(long = "alsologtostderr", hide = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_parser = parse_bool, default_missing_value = "true")]
    also_to_standard_error: Option<bool>,
    #[arg(long = "add_dir_header", hide = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_parser = parse_bool, default_missing_value = "true")]
    add_dir_header: Option<bool>,
    #[arg(long = "skip_headers", hide = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_parser = parse_bool, default_missing_value = "true")]
    skip_headers: Option<bool>,
    #[arg(long = "skip_log_headers", hide = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_parser = parse_bool, default_missing_value = "true")]
    skip_log_headers: Option<bool>,
    #[arg(long = "one_output", hide = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_parser = parse_bool, default_missing_value = "true")]
    one_output: Option<bool>,
    #[arg(long = "log_dir", hide = true)]
    log_dir: Option<String>,
    #[arg(long = "log_file", hide = true)]
    log_file: Option<String>,
    #[arg(long = "log_file_max_size", hide = true)]
    log_file_max_size: Option<String>,
    #[arg(long = "log_backtrace_at", hide = true)]
    log_backtrace_at: Option<String>,
    #[arg(long = "stderrthreshold", hide = true)]
    stderrthreshold: Option<String>,
    #[arg(long = "vmodule", hide = true)]
    vmodule: Option<String>,
}

impl CompatibleArgs {
    /// Logs a warning for each of these flags that is set.
    pub(super) fn warn(&self) {
        let pprof = [
            ("--enable-pprof", self.enable_pprof),
            ("--pprof-port", self.pprof_port.is_some() && self.enable_pprof),
        ];
        for (flag, _) in pprof.into_iter().filter(|(_, given)| *given) {
            tracing::warn!("{flag} has no effect: pprof exists only in Go programs");
        }
        for flag in self.klog.given() {
            tracing::warn!("{flag} has no effect: logs go to standard error, with the verbosity of -v");
        }
    }
}

impl KlogArgs {
    fn given(&self) -> impl Iterator<Item = &'static str> {
        [
            ("--logtostderr", !self.to_standard_error),
            ("--add_dir_header", self.add_dir_header == Some(true)),
            ("--skip_headers", self.skip_headers == Some(true)),
            ("--skip_log_headers", self.skip_log_headers == Some(true)),
            ("--one_output", self.one_output == Some(true)),
            ("--alsologtostderr", self.also_to_standard_error == Some(true)),
            ("--log_dir", self.log_dir.is_some()),
            ("--log_file", self.log_file.is_some()),
            ("--log_file_max_size", self.log_file_max_size.is_some()),
            ("--log_backtrace_at", self.log_backtrace_at.is_some()),
            ("--stderrthreshold", self.stderrthreshold.is_some()),
            ("--vmodule", self.vmodule.is_some()),
        ]
        .into_iter()
        .filter_map(|(flag, given)| given.then_some(flag))
    }
}
