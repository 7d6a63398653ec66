//! Azure Key Vault provider for the Secrets Store CSI driver.
//!
//! One mount goes from top to bottom, and dependencies run the same way only:
//!
//! ```text
//! cli → server → mount → plan, policy, identity, vault, render, deliver
//!                        identity, vault → lanes → fair, breaker
//!                        mount, identity, vault, cache → flight
//! ```
//!
//! The core is four rules, each in one place (`docs/architecture.md` has a page on them):
//!
//! - **Trust**, in [`trust`]: what a request may share.
//! - **Fairness**, in [`fair`] and [`cache`]: every limited resource is shared out by [`tenant`].
//! - **Evidence**, in [`breaker`]: what moves a circuit breaker.
//! - **Fallback**, in `mount::fallback`: what a mount waits for, and what it may be served instead.
//!
//! [`flight`] is the one single flight. [`lanes`] puts turns, pauses and breakers around the requests to a service.
//!
//! Beside the path of a mount: [`audit`] writes who got which object, [`volume_memory`] shares out the memory of mounted
//! volumes, [`environment_file`] reads the files of private clouds, [`telemetry`] has logs and metrics, [`settings`] wires
//! the process, and [`process`] hardens it.
//!
//! [`external_secrets`] is `convert`. [`plan`] and [`render`] use no network, file or clock. [`lint`] reads a [`manifest`] and reports what
//! [`plan`] would; both read with [`yaml`]. `anyhow` is for [`cli`], [`settings`] and [`server`], which end the
//! process; below, each layer has one error type, and each error knows its [`code::Code`].

pub mod audit;
mod base64;
mod bounded;
pub mod breaker;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod code;
pub mod deliver;
pub mod environment_file;
pub mod external_secrets;
pub mod fair;
pub mod flight;
pub mod identity;
pub mod lanes;
pub mod lint;
mod lock;
pub mod manifest;
pub mod mount;
pub mod plan;
pub mod policy;
pub mod process;
pub mod proto;
mod quoted;
pub mod render;
pub mod retry;
pub mod secret;
mod secret_rules;
pub mod server;
pub mod settings;
pub mod telemetry;
pub mod tenant;
pub mod text;
pub mod transport;
pub mod trust;
pub mod vault;
pub mod volume_memory;
pub mod yaml;
