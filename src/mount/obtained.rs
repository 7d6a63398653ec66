//! A fetched object and its source.

use std::sync::Arc;

use crate::telemetry::Source;
use crate::vault::{FetchedObject, VaultError};

/// An object and its source.
#[derive(Clone, Debug)]
pub(super) struct Obtained {
    pub(super) object: Arc<FetchedObject>,
    pub(super) source: Source,
}

pub(super) type ObjectResult = Result<Obtained, VaultError>;

impl Obtained {
    pub(super) fn new(object: Arc<FetchedObject>, source: Source) -> Self {
        Self { object, source }
    }
}
