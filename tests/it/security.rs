//! The claims of SECURITY.md: secrecy, fairness, policy and hardening.

mod audit;
mod crashes;
mod fairness;
mod hardening;
mod isolation;
mod policy;
mod proofs;
mod volume_memory;
mod volumes;
