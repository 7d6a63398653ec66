//! What was asked, how often, and how much of it at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::lock;

/// Kinds of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestKind {
    /// A token exchange at Entra, whatever the outcome.
    Token,
    /// A discovery document, of Entra or of the issuer.
    Discovery,
    /// One secret was read.
    Secret,
    /// A page of a vault's secrets.
    SecretList,
    /// A page of a secret's versions.
    SecretVersions,
    /// A secret was written.
    SecretSet,
    /// One key was read.
    Key,
    /// A page of a vault's keys.
    KeyList,
    /// A page of a key's versions.
    KeyVersions,
    /// One certificate was read.
    Certificate,
    /// A page of a vault's certificates.
    CertificateList,
    /// A page of a certificate's versions.
    CertificateVersions,
    /// The issuer's keys.
    Jwks,
    /// A Kubernetes `TokenRequest`.
    TokenRequest,
    /// A Kubernetes `ServiceAccount` was read.
    ServiceAccount,
    /// A token was asked for at the instance metadata service, whatever the outcome.
    Imds,
    /// Any request that a vault answered with 401. One without a bearer is a challenge from the
    /// start; one whose bearer turns out to be no good becomes one with its answer.
    Challenge,
    /// A path or method that nobody serves, or a vault that is not there.
    Other,
}

/// A request that has ended.
#[derive(Debug, Clone)]
pub struct RecordedRequest {
    /// What it was.
    pub kind: RequestKind,
    /// Its method.
    pub method: String,
    /// The host it named, in lower case, without the port.
    pub host: String,
    /// The server name that the client asked for in its TLS handshake; none if it connected to an address,
    /// or without TLS.
    pub server_name: Option<String>,
    /// Path and query, as sent.
    pub path_and_query: String,
    /// The status of the answer; none if there was no answer: a fault hung it or cut it off, or the
    /// client gave up.
    pub status: Option<u16>,
    /// Whether it carried a bearer token.
    pub authenticated: bool,
    /// When it arrived.
    pub at: Instant,
}

/// Everything recorded since the start or since it was cleared.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    requests: Mutex<Vec<RecordedRequest>>,
    in_flight: Mutex<HashMap<RequestKind, Gauge>>,
    connections: AtomicUsize,
}

#[derive(Debug, Default, Clone, Copy)]
struct Gauge {
    now: usize,
    peak: usize,
}

impl Recorder {
    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        lock(&self.requests).clone()
    }

    pub(crate) fn count(&self, kind: RequestKind) -> usize {
        let requests = lock(&self.requests);
        requests.iter().filter(|request| request.kind == kind && request.status.is_some()).count()
    }

    pub(crate) fn in_flight_peak(&self, kind: RequestKind) -> usize {
        lock(&self.in_flight).get(&kind).map_or(0, |gauge| gauge.peak)
    }

    pub(crate) fn clear(&self) {
        lock(&self.requests).clear();
        self.connections.store(0, Ordering::Relaxed);
        for gauge in lock(&self.in_flight).values_mut() {
            gauge.peak = gauge.now;
        }
    }

    /// Counts `request` as in flight until the returned guard is dropped, which records it.
    pub(crate) fn begin(self: &Arc<Self>, request: RecordedRequest) -> InFlight {
        let mut gauges = lock(&self.in_flight);
        let gauge = gauges.entry(request.kind).or_default();
        gauge.now += 1;
        gauge.peak = gauge.peak.max(gauge.now);
        InFlight { recorder: Arc::clone(self), counted_as: request.kind, request: Some(request) }
    }
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct InFlight {
    recorder: Arc<Recorder>,
    counted_as: RequestKind,
    request: Option<RecordedRequest>,
}

impl InFlight {
    /// Notes the answer.
    pub(crate) fn answered(&mut self, status: u16, kind: RequestKind) {
        if let Some(request) = &mut self.request {
            request.status = Some(status);
            request.kind = kind;
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(gauge) = lock(&self.recorder.in_flight).get_mut(&self.counted_as) {
            gauge.now = gauge.now.saturating_sub(1);
        }
        if let Some(request) = self.request.take() {
            lock(&self.recorder.requests).push(request);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kind: RequestKind) -> RecordedRequest {
        RecordedRequest {
            kind,
            method: "GET".to_owned(),
            host: "v.vault.azure.net".to_owned(),
            server_name: Some("v.vault.azure.net".to_owned()),
            path_and_query: "/secrets/a".to_owned(),
            status: None,
            authenticated: true,
            at: Instant::now(),
        }
    }

    #[test]
    fn the_peak_is_the_greatest_number_at_once_and_clearing_starts_from_what_is_under_way() {
        let recorder = Arc::new(Recorder::default());
        let first = recorder.begin(request(RequestKind::Secret));
        let second = recorder.begin(request(RequestKind::Secret));
        drop(first);
        assert_eq!(recorder.in_flight_peak(RequestKind::Secret), 2);
        recorder.clear();
        assert_eq!(recorder.in_flight_peak(RequestKind::Secret), 1);
        drop(second);
    }

    #[test]
    fn an_unanswered_request_is_recorded_and_not_counted() {
        let recorder = Arc::new(Recorder::default());
        drop(recorder.begin(request(RequestKind::Secret)));
        recorder.begin(request(RequestKind::Secret)).answered(401, RequestKind::Challenge);
        assert_eq!(recorder.requests().len(), 2);
        assert_eq!(recorder.count(RequestKind::Secret), 0);
        assert_eq!(recorder.count(RequestKind::Challenge), 1);
    }
}
