//! The real server on a real socket, against the emulator over real TLS.
//!
//! Every test starts its own emulator and its own process of the provider, which reaches "Azure"
//! under its real host names: the emulator is its `HTTPS_PROXY`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

mod bad_input;
mod binding;
mod block_pages;
mod caching;
mod clouds;
mod completion_and_man_pages;
mod convert;
mod docs;
mod driver;
mod entra_codes;
mod fallback;
mod file_writer;
mod forced;
mod go_flags;
mod handover;
mod harness;
mod identities;
mod json_fields;
mod lint;
mod logs;
mod manifests;
mod metrics;
mod misspelt;
mod mounting;
mod objects;
mod one_mount;
mod outages;
mod principal_secrets;
mod process;
mod recorded;
mod refusals;
mod security;
mod sharing;
mod templates;
mod text_encodings;
mod unwritable_volumes;
mod volume;
mod watch;
