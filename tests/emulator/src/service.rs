//! One request: route it, record it, let the faults at it, answer it.

use std::sync::Arc;
use std::time::Instant;

use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, RETRY_AFTER};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::sync::Notify;

use crate::entra::{self, Entra};
use crate::fault::{Fault, Faults, Service};
use crate::issuer::Issuer;
use crate::record::{RecordedRequest, Recorder, RequestKind};
use crate::reply::{self, Reply};
use crate::route::{Operation, route};
use crate::vault::{self, Store, VaultRequest};
use crate::{cluster, hosts};

/// Key Vault's own limit on a secret is 25 kB; nothing that is sent here comes near this.
const LARGEST_BODY: usize = 1 << 20;

/// Everything that answers requests, shared by all connections.
pub(crate) struct Shared {
    pub(crate) entra: Entra,
    pub(crate) store: Store,
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) faults: Faults,
    pub(crate) recorder: Arc<Recorder>,
}

/// A request as far as it is understood before its body is read.
struct Head<'a> {
    authority: &'a str,
    query: &'a str,
    bearer: Option<&'a str>,
    client_request_id: Option<&'a str>,
    service: Service<'a>,
    operation: Option<Operation<'a>>,
}

impl Shared {
    /// Answers one request. `hang_up` closes the connection that it came on.
    pub(crate) async fn answer(&self, request: Request<Incoming>, hang_up: &Notify) -> Reply {
        let at = Instant::now();
        let (parts, body) = request.into_parts();
        let authority = parts
            .uri
            .authority()
            .map(http::uri::Authority::as_str)
            .or_else(|| text(&parts.headers, &HOST))
            .unwrap_or_default()
            .to_ascii_lowercase();
        let host = hosts::without_port(&authority);
        let (service, operation) = route(host, &parts.method, parts.uri.path());
        let head = Head {
            authority: &authority,
            query: parts.uri.query().unwrap_or_default(),
            bearer: text(&parts.headers, &AUTHORIZATION).and_then(bearer),
            client_request_id: client_request_id(&parts.headers, service),
            service,
            operation,
        };
        let mut record = self.recorder.begin(RecordedRequest {
            kind: head.kind(),
            method: parts.method.to_string(),
            host: host.to_owned(),
            path_and_query: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            status: None,
            authenticated: head.bearer.is_some(),
            at,
        });

        let effect = self.faults.effect(service);
        tokio::time::sleep(effect.delay).await;
        let mut reply = match effect.instead {
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Disconnect) => {
                hang_up.notify_one();
                std::future::pending().await
            }
            Some(fault) => self.spoiled(&head, &fault),
            None => match Limited::new(body, LARGEST_BODY).collect().await {
                Ok(body) => self.dispatch(&head, &body.to_bytes()),
                Err(_) => reply::text(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large.".to_owned()),
            },
        };
        // What answers for a vault that is not there is a proxy, not Key Vault.
        if matches!(service, Service::Vault(name) if self.store.has(name)) {
            vault::set_service_headers(&mut reply, head.client_request_id);
        }
        record.answered(reply.status().as_u16(), self.outcome(&head, &reply));
        reply
    }

    fn outcome(&self, head: &Head<'_>, reply: &Reply) -> RequestKind {
        match head.service {
            Service::Vault(name) if !self.store.has(name) => RequestKind::Other,
            Service::Vault(_) if reply.status() == StatusCode::UNAUTHORIZED => RequestKind::Challenge,
            _ => head.operation.map_or(RequestKind::Other, Operation::kind),
        }
    }

    fn dispatch(&self, head: &Head<'_>, body: &[u8]) -> Reply {
        match head.service {
            Service::Vault(name) => {
                let request = VaultRequest {
                    vault: name,
                    authority: head.authority,
                    bearer: head.bearer,
                    query: head.query,
                    body,
                    operation: head.operation,
                };
                vault::answer(&self.store, &self.entra, &request)
            }
            Service::Entra => self.entra(head, body),
            Service::Issuer => self.cluster(head, body),
        }
    }

    fn entra(&self, head: &Head<'_>, body: &[u8]) -> Reply {
        let answer = match head.operation {
            Some(Operation::Token { tenant }) => self.entra.exchange(&self.issuer, tenant, body),
            Some(Operation::TenantDiscovery { tenant }) => entra::tenant(&self.entra, head.authority, tenant),
            Some(Operation::InstanceDiscovery) => {
                Ok(entra::instance(&self.entra, head.authority, head.query))
            }
            Some(Operation::TenantKeys) => Ok(entra::tenant_keys()),
            _ => Ok(reply::html(StatusCode::NOT_FOUND, "<html><body>Not found</body></html>")),
        };
        answer.unwrap_or_else(|refusal| refusal.reply(head.client_request_id))
    }

    fn cluster(&self, head: &Head<'_>, body: &[u8]) -> Reply {
        match head.operation {
            Some(Operation::IssuerDiscovery) => cluster::discovery(),
            Some(Operation::IssuerKeys) => cluster::keys(&self.issuer),
            Some(Operation::TokenRequest { namespace, account }) => {
                cluster::token_request(&self.issuer, namespace, account, body)
            }
            _ => {
                let message = "the server could not find the requested resource";
                cluster::failure(StatusCode::NOT_FOUND, "NotFound", message)
            }
        }
    }

    fn spoiled(&self, head: &Head<'_>, fault: &Fault) -> Reply {
        let status = match fault {
            Fault::Status(code) | Fault::Gateway(code) => {
                StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Fault::Throttle { .. } => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::OK,
        };
        let mut reply = match fault {
            Fault::Status(_) | Fault::Throttle { .. } => head.failure(status),
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
    fn kind(&self) -> RequestKind {
        match (self.service, self.operation) {
            (Service::Vault(_), _) if self.bearer.is_none() => RequestKind::Challenge,
            (_, operation) => operation.map_or(RequestKind::Other, Operation::kind),
        }
    }

    /// A failure in the form of the service that is asked.
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
            Service::Issuer => {
                let reason = status.canonical_reason().unwrap_or("InternalError").replace(' ', "");
                cluster::failure(status, &reason, "the emulator was told to fail this request")
            }
        }
    }
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

fn client_request_id<'a>(headers: &'a HeaderMap, service: Service<'_>) -> Option<&'a str> {
    let name = match service {
        Service::Vault(_) => "x-ms-client-request-id",
        Service::Entra | Service::Issuer => "client-request-id",
    };
    text(headers, &HeaderName::from_static(name))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
