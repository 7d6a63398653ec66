//! What is wrong.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Maximum number of findings to print.
const SHOWN: usize = 20;

#[derive(Debug, Default)]
pub(crate) struct Findings(Mutex<(usize, Vec<String>)>);

impl Findings {
    pub(crate) fn add(&self, finding: String) {
        let mut findings = lock(&self.0);
        findings.0 += 1;
        if findings.1.len() < SHOWN {
            findings.1.push(finding);
        }
    }

    /// How many there are, and the first of them.
    pub(crate) fn all(self) -> (usize, Vec<String>) {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every change of what is locked is a single call, so a panic leaves it whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
