//! Starts providers against an emulated Azure: for the integration tests, the benchmarks, the quickstart, and the
//! tools in `tests/load` and `tests/soak`.
//!
//! It uses only the provider's flags and does not link its crate, so the provider's own unit tests do not
//! build that crate twice. The caller selects the program to start: a path, such as `CARGO_BIN_EXE_…`, or, in a
//! program that is linked with the provider, that program itself ([`Launch::itself`]).

mod azure;
mod error;
mod launch;
mod pod;
mod port;
mod process;
mod usage;

pub use azure::{Environment, environment, key_flags};
pub use error::LaunchError;
pub use launch::{Launch, asked_to_serve};
pub use pod::Pod;
pub use port::free_port;
pub use process::{Process, listener};
pub use usage::Usage;
