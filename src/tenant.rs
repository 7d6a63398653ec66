//! The tenant of a request: the unit for sharing limited resources.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A Kubernetes namespace. kubelet and the driver overwrite any value from the pod or the class, so it can
/// be relied on for accounting, but it proves nothing about the identity of a request.
///
/// Requests without a namespace share one tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// The tenant with this namespace.
    pub fn new(namespace: &str) -> Self {
        Self(Arc::from(namespace))
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Tenant {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
