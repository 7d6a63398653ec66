//! Answers of a fault, in the form of the service.

use http::StatusCode;
use http::header::{CONTENT_LENGTH, RETRY_AFTER};

use super::{Head, Shared};
use crate::fault::{Fault, Service};
use crate::reply::{self, Ending, Reply};
use crate::route::Operation;
use crate::{cluster, entra, imds, vault};

/// The service's own answer, with a changed body.
pub(super) fn body(reply: Reply, fault: &Fault) -> Reply {
    let (parts, body) = reply.into_parts();
    let whole = body.len();
    let (declared, body) = match fault {
        Fault::HangInBody => (whole, body.cut(whole / 2, Ending::Never)),
        Fault::Truncate => (whole, body.cut(whole / 2, Ending::Early)),
        _ => (whole.saturating_sub(1), body.cut(whole, Ending::Early)),
    };
    let mut reply = Reply::from_parts(parts, body);
    reply::set_header(&mut reply, CONTENT_LENGTH, &declared.to_string());
    reply
}

impl Shared {
    /// The answer of `fault` instead of the service's.
    pub(super) fn spoiled(&self, head: &Head<'_>, fault: &Fault) -> Reply {
        let status = match fault {
            Fault::Status(code) | Fault::Gateway(code) | Fault::Refusal { status: code, .. } => {
                StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Fault::Throttle { .. } => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::OK,
        };
        let mut reply = match fault {
            Fault::Status(_) | Fault::Throttle { .. } => head.failure(status),
            Fault::Refusal { code, error, .. } => {
                let message = "The emulator was told to refuse this request.";
                entra::failure(status, error, *code, message, head.client_request_id)
            }
            _ => reply::html(
                status,
                "<html><body><h1>Our services aren't available right now</h1></body></html>",
            ),
        };
        if let Fault::Throttle { retry_after: Some(delay) } = fault {
            reply::set_header(&mut reply, RETRY_AFTER, &delay.as_secs().to_string());
        }
        if status == StatusCode::UNAUTHORIZED && matches!(head.service, Service::Vault(_)) {
            vault::challenge(&mut reply, &self.entra, head.authority);
        }
        reply
    }
}

impl Head<'_> {
    /// A failure in the form of the service.
    fn failure(&self, status: StatusCode) -> Reply {
        let throttled = status == StatusCode::TOO_MANY_REQUESTS;
        match self.service {
            Service::Entra if throttled => {
                let message = "There are too many incoming requests. Please try again later.";
                entra::failure(status, "temporarily_unavailable", 90055, message, self.client_request_id)
            }
            Service::Entra => {
                let message = "A transient error has occurred. Please try again.";
                entra::failure(status, "temporarily_unavailable", 90033, message, self.client_request_id)
            }
            Service::Vault(_) if throttled => {
                let message = "Request was not processed because too many requests were received. Reason: \
                               VaultRequestTypeLimitReached";
                vault::failure(status, "Throttled", message, None)
            }
            Service::Vault(_) => {
                let code = status.canonical_reason().unwrap_or("InternalServerError").replace(' ', "");
                vault::failure(status, &code, "The emulator was told to fail this request.", None)
            }
            Service::ApiServer => self.api_server_failure(status),
            Service::Imds if throttled => {
                let message = "IMDS throttle limit has been reached";
                imds::failure(status, "too_many_requests", message)
            }
            Service::Imds => {
                let message = "Failed to retrieve token from the Active directory. For details see logs in \
                               the emulator's tests";
                imds::failure(status, "unknown", message)
            }
            Service::Issuer => {
                let reason = status.canonical_reason().unwrap_or("InternalError").replace(' ', "");
                cluster::failure(status, &reason, "the emulator was told to fail this request")
            }
        }
    }

    fn api_server_failure(&self, status: StatusCode) -> Reply {
        match (status, self.operation) {
            (StatusCode::UNAUTHORIZED, _) => cluster::unauthorized(),
            (StatusCode::FORBIDDEN, Some(Operation::ServiceAccount { namespace, account })) => {
                cluster::forbidden(self.bearer, namespace, account)
            }
            (StatusCode::NOT_FOUND, Some(Operation::ServiceAccount { account, .. })) => {
                cluster::not_found(account)
            }
            _ => {
                let reason = status.canonical_reason().unwrap_or("InternalError").replace(' ', "");
                cluster::failure(status, &reason, "the emulator was told to fail this request")
            }
        }
    }
}
