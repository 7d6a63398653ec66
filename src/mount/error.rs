//! Why a mount failed.

use std::fmt;

use crate::code::Code;
use crate::deliver::DeliverError;
use crate::identity::IdentityError;
use crate::plan::{Finding, PlanError};
use crate::policy::PolicyDenied;
use crate::render::RenderError;
use crate::vault::VaultError;

/// Why a mount failed. Its text is what `kubectl describe pod` shows.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The request is wrong.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The operator's policy does not allow it. No vault has been asked, and nothing is evicted.
    #[error(transparent)]
    Denied(#[from] PolicyDenied),
    /// There is no access token.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Objects failed; all of them are named, in the plan's order. Never empty.
    #[error("{}", Listed(.0))]
    Objects(Vec<ObjectError>),
    /// There was no time left.
    #[error("mount deadline exceeded; kubelet will retry")]
    Late,
    /// The provider stops before the mount could be done.
    #[error("the provider is being stopped; the mount is tried again, with its successor")]
    Stopping,
    /// A defect, which is in the log.
    #[error("the provider has a defect, described in its log; please report it")]
    Defect,
    /// The files could not be delivered.
    #[error(transparent)]
    Deliver(#[from] DeliverError),
    /// It failed after the plan, whose warnings may have the reason. A name that is probably misspelt comes
    /// first: an event is cut at its end. Never empty.
    #[error("{}", WithWarnings(.error, .warnings))]
    Warned {
        /// Why it failed.
        error: Box<MountError>,
        /// The plan's warnings.
        warnings: Vec<Finding>,
    },
}

/// Why one object failed.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// It could not be fetched.
    #[error(transparent)]
    Vault(VaultError),
    /// It could not become a file.
    #[error(transparent)]
    Render(RenderError),
}

impl MountError {
    /// The code to answer with: the gravest, if several objects failed.
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

    /// The error, with the warnings of its plan.
    pub(super) fn with_warnings(self, warnings: Vec<Finding>) -> Self {
        if warnings.is_empty() { self } else { Self::Warned { error: Box::new(self), warnings } }
    }

    /// The error and the warnings that accompany it.
    pub fn into_parts(self) -> (Self, Vec<Finding>) {
        match self {
            Self::Warned { error, warnings } => (*error, warnings),
            error => (error, Vec::new()),
        }
    }
}

impl ObjectError {
    /// Whether the object was fetched, and could not become a file.
    pub(super) fn is_render(&self) -> bool {
        matches!(self, Self::Render(_))
    }

    fn code(&self) -> Code {
        match self {
            Self::Vault(error) => error.code(),
            Self::Render(error) => error.code(),
        }
    }
}

struct Listed<'a>(&'a [ObjectError]);

impl fmt::Display for Listed<'_> {
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

/// As many warnings of other kinds as a message takes.
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
