//! Errors of a mount.

use std::fmt;

use crate::code::Code;
use crate::deliver::DeliverError;
use crate::identity::IdentityError;
use crate::plan::{Finding, PlanError};
use crate::policy::PolicyDenied;
use crate::render::{RenderError, TemplateError};
use crate::vault::VaultError;

/// Why a mount failed. `kubectl describe pod` shows its message.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The request is invalid.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The operator's policy denies it. No vault was called, and nothing is evicted.
    #[error(transparent)]
    Denied(#[from] PolicyDenied),
    /// There is no access token.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The objects that failed, in the plan's order. Never empty.
    #[error("{}", ObjectErrorList(.0))]
    Objects(Vec<ObjectError>),
    /// The deadline has passed.
    #[error("mount deadline exceeded; kubelet will retry")]
    Late,
    /// The provider shuts down.
    #[error("the provider is shutting down; kubelet will retry the mount with its successor")]
    Stopping,
    /// A bug, whose details are in the log.
    #[error("the provider has a bug: see its log for details, and please report it")]
    Defect,
    /// The files could not be delivered.
    #[error(transparent)]
    Deliver(#[from] DeliverError),
    /// It failed after planning, and the plan's warnings may contain the reason. A name that is probably misspelt comes
    /// first, because events are truncated. Never empty.
    #[error("{}", WithWarnings(.error, .warnings))]
    Warned {
        /// The error.
        error: Box<MountError>,
        /// The plan's warnings.
        warnings: Vec<Finding>,
    },
}

/// The error of one object.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// It could not be fetched.
    #[error(transparent)]
    Vault(VaultError),
    /// It could not be rendered.
    #[error(transparent)]
    Render(RenderError),
    /// A template could not become a file.
    #[error(transparent)]
    Template(TemplateError),
}

impl MountError {
    /// The gRPC code: the most severe one of all objects.
    pub fn code(&self) -> Code {
        match self {
            Self::Plan(_) => Code::InvalidArgument,
            Self::Denied(_) => Code::PermissionDenied,
            Self::Identity(error) => error.code(),
            Self::Objects(errors) => errors.iter().map(ObjectError::code).min().unwrap_or(Code::Internal),
            Self::Late | Self::Stopping | Self::Defect => Code::Internal,
            Self::Deliver(error) => error.code(),
            Self::Warned { error, .. } => error.code(),
        }
    }

    /// The error with the warnings of its plan.
    pub(super) fn with_warnings(self, warnings: Vec<Finding>) -> Self {
        if warnings.is_empty() { self } else { Self::Warned { error: Box::new(self), warnings } }
    }

    /// The error and its warnings.
    pub fn into_parts(self) -> (Self, Vec<Finding>) {
        match self {
            Self::Warned { error, warnings } => (*error, warnings),
            error => (error, Vec::new()),
        }
    }
}

impl ObjectError {
    /// Whether the object was fetched, but could not be rendered.
    pub(super) fn is_render(&self) -> bool {
        matches!(self, Self::Render(_) | Self::Template(_))
    }

    fn code(&self) -> Code {
        match self {
            Self::Vault(error) => error.code(),
            Self::Render(error) => error.code(),
            Self::Template(error) => error.code(),
        }
    }
}

struct ObjectErrorList<'a>(&'a [ObjectError]);

impl fmt::Display for ObjectErrorList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.0 {
            return write!(f, "{only}");
        }
        write!(f, "{} objects failed:", self.0.len())?;
        for (index, error) in self.0.iter().enumerate() {
            write!(f, " ({}) {error}.", index + 1)?;
        }
        Ok(())
    }
}

/// Maximum number of other warnings in a message.
const OTHER_WARNINGS: usize = 3;

struct WithWarnings<'a>(&'a MountError, &'a [Finding]);

impl fmt::Display for WithWarnings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(error, warnings) = self;
        for warning in warnings.iter().filter(|warning| warning.is_misspelling()) {
            write!(f, "{warning} ")?;
        }
        write!(f, "{error}")?;
        for warning in warnings.iter().filter(|warning| !warning.is_misspelling()).take(OTHER_WARNINGS) {
            write!(f, "; warning: {warning}")?;
        }
        Ok(())
    }
}
