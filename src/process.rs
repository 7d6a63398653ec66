//! Hardens the process before it holds a secret.

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

/// Excludes the memory of this process from core dumps, and denies access to it to other processes of the same user
/// without the right to trace it. Root can still read it.
///
/// If the system refuses either, the process serves anyway. Nothing reverts these settings later.
pub fn harden() {
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let _ = prctl::set_dumpable(false);
}

#[cfg(test)]
mod tests {
    use nix::sys::resource::getrlimit;

    use super::*;

    #[test]
    fn core_dumps_and_memory_access_are_disabled() {
        harden();
        assert!(!prctl::get_dumpable().unwrap());
        assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap(), (0, 0));
    }
}
