//! Why a mount failed.

use std::fmt;

use crate::code::Code;
use crate::deliver::DeliverError;
use crate::identity::IdentityError;
use crate::plan::PlanError;
use crate::policy::Denied;
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
    Denied(#[from] Denied),
    /// There is no access token.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Objects failed; all of them are named, in the plan's order. Never empty.
    #[error("{}", Listed(.0))]
    Objects(Vec<ObjectError>),
    /// There was no time left.
    #[error("the mount was not done in time; it is tried again")]
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
        }
    }
}

impl ObjectError {
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
