//! Classifies the answers of token endpoints. The form of the answer decides who answered before its status is
//! interpreted: a proxy's error page is no evidence about the identity.

use std::fmt;
use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::{RawResponse, StatusCode};
use url::Url;

use super::entra_codes::{EntraCode, Meaning};
use super::error::IdentityError;
use super::refusal::{self, Refusal};
use crate::plan::Identity;
use crate::transport;

/// How long to wait after throttling by Entra without a `Retry-After` header.
const THROTTLED: Duration = Duration::from_secs(1);

/// The metadata service's code for an identity that the node does not have (the same page, "Error handling").
const NO_SUCH_IDENTITY: &str = "invalid_request";

/// The token endpoint that is called.
#[derive(Clone, Debug)]
pub(super) struct TokenEndpoint {
    name: &'static str,
    host: String,
}

impl TokenEndpoint {
    pub(super) fn new(name: &'static str, url: &Url) -> Self {
        Self { name, host: url.host_str().unwrap_or_default().to_owned() }
    }

    /// There was no answer.
    pub(super) fn unreachable(&self, reason: String) -> IdentityError {
        IdentityError::Unreachable { authority: self.to_string(), reason }
    }

    /// Another server answered in its place.
    fn intercepted(&self, what: String) -> IdentityError {
        IdentityError::Intercepted { authority: self.to_string(), host: self.host.clone(), what }
    }

    /// The error of an exchange that returned no token.
    pub(super) fn classify(&self, identity: &Identity, error: &azure_core::Error) -> IdentityError {
        // The credential and an exhausted retry policy wrap the error of our own policy.
        let mut inner = error;
        while let Some(source) = inner.get_ref().and_then(|source| source.downcast_ref::<azure_core::Error>())
        {
            inner = source;
        }
        match inner.kind() {
            ErrorKind::HttpResponse { status, error_code, raw_response } => {
                let response = raw_response.as_deref();
                match error_code {
                    Some(code) => self.answered(identity, *status, code, &inner.to_string(), response),
                    None => self.unexpected_form(identity, *status, response),
                }
            }
            ErrorKind::DataConversion => self.intercepted("the body is not a token response".to_owned()),
            _ => self.unreachable(transport::root_cause(inner)),
        }
    }

    /// An answer in the form of a token endpoint.
    fn answered(
        &self,
        identity: &Identity,
        status: StatusCode,
        code: &str,
        description: &str,
        response: Option<&RawResponse>,
    ) -> IdentityError {
        let entry = EntraCode::find(code);
        let passes = entry.is_some_and(|entry| matches!(entry.meaning, Meaning::Busy | Meaning::Failing));
        let decides = match identity {
            // 404 and 410 mean that the service is being updated (How to use managed identities on an
            // Azure VM to acquire an access token, "Error handling").
            Identity::Managed(_) => status == StatusCode::BadRequest && code == NO_SUCH_IDENTITY,
            Identity::Workload(_) | Identity::ServicePrincipal(_) => {
                status.is_client_error()
                    && !matches!(status, StatusCode::TooManyRequests | StatusCode::RequestTimeout)
            }
        };
        if decides && !passes {
            return IdentityError::Refused(Box::new(Refusal::new(identity, code.to_owned(), description)));
        }
        let retry_after = response.and_then(|response| transport::retry_after(response.headers()));
        // Throttling of one client is not an outage.
        let throttled = status == StatusCode::TooManyRequests || decides;
        let reason = match entry.filter(|_| passes) {
            Some(entry) => {
                let fix = refusal::fix(identity, code);
                format!("HTTP status {status}, AADSTS{code}, {}; {fix}", entry.about)
            }
            None => format!("HTTP status {status} {code}"),
        };
        IdentityError::Failing {
            authority: self.to_string(),
            reason,
            retry_after: retry_after.or(throttled.then_some(THROTTLED)),
            is_unavailable: status == StatusCode::ServiceUnavailable,
        }
    }

    /// An answer in another form. A gateway of the service itself may fail without a body.
    fn unexpected_form(
        &self,
        identity: &Identity,
        status: StatusCode,
        response: Option<&RawResponse>,
    ) -> IdentityError {
        let is_empty = response.is_none_or(|response| response.body().as_ref().trim_ascii().is_empty());
        let may_be_silent = status.is_server_error() || matches!(identity, Identity::Managed(_));
        if is_empty && may_be_silent {
            let reason = format!("HTTP status {status} without an error code");
            let is_unavailable = status == StatusCode::ServiceUnavailable;
            let authority = self.to_string();
            return IdentityError::Failing { authority, reason, retry_after: None, is_unavailable };
        }
        self.intercepted(transport::describe_form(status, response))
    }
}

impl fmt::Display for TokenEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.name, self.host)
    }
}
