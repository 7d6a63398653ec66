//! What fetching gives.

use std::sync::Arc;

use crate::telemetry::Source;
use crate::vault::{Object, VaultError};

/// An object, and where it came from.
#[derive(Clone, Debug)]
pub(super) struct Obtained {
    pub(super) object: Arc<Object>,
    pub(super) source: Source,
}

pub(super) type Answer = Result<Obtained, VaultError>;

impl Obtained {
    pub(super) fn new(object: Arc<Object>, source: Source) -> Self {
        Self { object, source }
    }
}
