//! Conditions under which a run fails.

use crate::options::AtMost;
use crate::report::Run;

/// Reports failed mounts, and requests above their bounds.
pub(crate) fn complaints(bounds: &[AtMost], runs: &[Run]) -> Vec<String> {
    let mut complaints = Vec::new();
    for run in runs {
        if run.failed > 0 {
            complaints.push(format!("{}: {} of {} mounts failed", run.name, run.failed, run.mounts));
        }
        for bound in bounds {
            let requests = run.count(bound.kind);
            if requests > bound.requests {
                let kind = bound.kind.map_or("in all".to_owned(), |kind| format!("of kind {}", kind.name()));
                complaints.push(format!(
                    "{}: {requests} requests {kind}, not {} at most",
                    run.name, bound.requests
                ));
            }
        }
    }
    complaints
}
