//! Handles one request: routes and records it, applies faults, and answers it.

mod connection;
mod spoiled;

use std::sync::Arc;

use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::cluster::{self, Accounts};
use crate::entra::{self, Entra, Scrutiny, TokenRequest};
use crate::fault::{Asked, Fault, Faults, Service};
use crate::hosts;
use crate::imds::{self, ImdsRequest};
use crate::issuer::Issuer;
use crate::record::{RecordedRequest, Recorder, RequestKind};
use crate::reply::{self, Reply};
use crate::route::{Entrance, Operation, route};
use crate::vault::{self, Store, VaultRequest};

pub(crate) use connection::Connection;

/// Maximum size of a request body; Key Vault's limit for a secret is 25 kB.
const LARGEST_BODY: usize = 1 << 20;

/// Everything that answers requests, shared by all connections.
pub(crate) struct Shared {
    pub(crate) entra: Entra,
    pub(crate) store: Store,
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) accounts: Accounts,
    pub(crate) faults: Faults,
    pub(crate) recorder: Arc<Recorder>,
}

/// A request without its body.
struct Head<'a> {
    entrance: Entrance,
    authority: &'a str,
    path: &'a str,
    query: &'a str,
    /// The header `Metadata`.
    metadata: Option<&'a str>,
    bearer: Option<&'a str>,
    client_request_id: Option<&'a str>,
    service: Service<'a>,
    operation: Option<Operation<'a>>,
}

impl Shared {
    /// Answers one request.
    pub(crate) async fn answer(&self, request: Request<Incoming>, connection: &Connection) -> Reply {
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
        let entrance = connection.entrance();
        let (service, operation) = route(entrance, host, &parts.method, parts.uri.path());
        let head = Head {
            entrance,
            authority: &authority,
            path: parts.uri.path(),
            metadata: text(&parts.headers, &HeaderName::from_static("metadata")),
            query: parts.uri.query().unwrap_or_default(),
            bearer: text(&parts.headers, &AUTHORIZATION).and_then(bearer),
            client_request_id: client_request_id(&parts.headers, service),
            service,
            operation,
        };
        let path_and_query = parts.uri.path_and_query().map_or("", |path| path.as_str());
        let mut record = self.recorder.begin(head.kind(), || RecordedRequest {
            kind: head.kind(),
            method: parts.method.to_string(),
            host: host.to_owned(),
            server_name: connection.server_name().map(str::to_owned),
            path_and_query: path_and_query.to_owned(),
            status: None,
            authenticated: head.bearer.is_some(),
            at: at.into_std(),
        });

        let asked = Asked {
            service,
            kind: head.kind(),
            object: operation.and_then(Operation::object),
            method: parts.method.as_str(),
            path_and_query,
        };
        let effect = self.faults.effect(&asked, at);
        tokio::time::sleep(effect.delay).await;
        let is_recorded = matches!(effect.fault, Some(Fault::Recorded(_)));
        let mut reply = match effect.fault {
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Disconnect) => {
                connection.hang_up();
                std::future::pending().await
            }
            Some(Fault::Reset | Fault::Refuse) => {
                connection.reset();
                std::future::pending().await
            }
            Some(fault @ (Fault::HangInBody | Fault::Truncate | Fault::WrongLength)) => {
                spoiled::body(self.collected(&head, body).await, &fault)
            }
            Some(Fault::Recorded(recorded)) => reply::recorded(&recorded.response),
            Some(fault) => self.spoiled(&head, &fault),
            None => self.collected(&head, body).await,
        };
        // What answers for a vault that is not there is a proxy, not Key Vault; what it answered once has its
        // headers of that time.
        if !is_recorded && matches!(service, Service::Vault(name) if self.store.has(name)) {
            vault::set_service_headers(&mut reply, head.client_request_id);
        }
        record.answered(reply.status().as_u16(), self.outcome(&head, &reply));
        reply
    }

    async fn collected(&self, head: &Head<'_>, body: Incoming) -> Reply {
        match Limited::new(body, LARGEST_BODY).collect().await {
            Ok(body) => self.dispatch(head, &body.to_bytes()),
            Err(_) => reply::text(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large.".to_owned()),
        }
    }

    /// The time of a service's clock.
    pub(crate) fn now(&self, service: Service<'_>) -> OffsetDateTime {
        OffsetDateTime::now_utc() + self.faults.clock_skew(service, Instant::now())
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
                let now = Instant::now();
                let request = VaultRequest {
                    scrutiny: Scrutiny {
                        clock_skew: self.faults.clock_skew(head.service, now),
                        revoked: self.faults.revoked(head.service, now),
                    },
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
            Service::Issuer | Service::ApiServer => self.cluster(head, body),
            Service::Imds => self.imds(head),
        }
    }

    fn entra(&self, head: &Head<'_>, body: &[u8]) -> Reply {
        let answer = match head.operation {
            Some(Operation::Token { tenant, version }) => {
                let request = TokenRequest {
                    tenant,
                    version,
                    endpoint: format!("https://{}{}", head.authority, head.path),
                    at_token_proxy: head.entrance == Entrance::TokenProxy,
                    now: self.now(head.service),
                    body,
                };
                self.entra.exchange(&self.issuer, &request)
            }
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
                cluster::token_request(&self.issuer, (namespace, account), self.now(head.service), body)
            }
            Some(Operation::ServiceAccount { namespace, account }) => {
                self.accounts.read(&self.issuer, head.bearer, namespace, account)
            }
            _ => {
                let message = "the server could not find the requested resource";
                cluster::failure(StatusCode::NOT_FOUND, "NotFound", message)
            }
        }
    }

    fn imds(&self, head: &Head<'_>) -> Reply {
        match head.operation {
            Some(Operation::ManagedIdentity) => {
                imds::token(&self.entra, &ImdsRequest { metadata: head.metadata, query: head.query })
            }
            _ => imds::failure(StatusCode::NOT_FOUND, "not_found", "The emulator serves no other metadata."),
        }
    }
}

impl Head<'_> {
    fn kind(&self) -> RequestKind {
        match (self.service, self.operation) {
            (Service::Vault(_), _) if self.bearer.is_none() => RequestKind::Challenge,
            (_, operation) => operation.map_or(RequestKind::Other, Operation::kind),
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
        Service::Entra | Service::Issuer | Service::ApiServer | Service::Imds => "client-request-id",
    };
    text(headers, &HeaderName::from_static(name))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
