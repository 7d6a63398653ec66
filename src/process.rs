//! What the process does about itself before it holds a secret.

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

/// Keeps the memory of this process out of core dumps, and from being read by processes of its own user that may not
/// trace it. Root reads it all the same.
///
/// A system that refuses either is no reason not to serve; both are undone by nothing that follows.
pub fn harden() {
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let _ = prctl::set_dumpable(false);
}

#[cfg(test)]
mod tests {
    use nix::sys::resource::getrlimit;

    use super::*;

    #[test]
    fn no_core_is_dumped_and_the_memory_is_not_for_others() {
        harden();
        assert!(!prctl::get_dumpable().unwrap());
        assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap(), (0, 0));
    }
}
