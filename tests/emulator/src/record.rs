//! Records requests: their kinds, counts and concurrency.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::lock;

/// Kinds of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestKind {
    /// A token exchange at Entra, with any result.
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
    /// A token request to the instance metadata service, with any result.
    Imds,
    /// Any request that a vault answered with 401. A request without a bearer is counted as one when it
    /// arrives, a request with an invalid bearer when it is answered.
    Challenge,
    /// An unknown path or method, or a vault that does not exist.
    Other,
}

impl RequestKind {
    /// All kinds.
    pub const ALL: [Self; 18] = [
        Self::Token,
        Self::Discovery,
        Self::Secret,
        Self::SecretList,
        Self::SecretVersions,
        Self::SecretSet,
        Self::Key,
        Self::KeyList,
        Self::KeyVersions,
        Self::Certificate,
        Self::CertificateList,
        Self::CertificateVersions,
        Self::Jwks,
        Self::TokenRequest,
        Self::ServiceAccount,
        Self::Imds,
        Self::Challenge,
        Self::Other,
    ];

    /// Its name in rules and counts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Discovery => "discovery",
            Self::Secret => "secret",
            Self::SecretList => "secret-list",
            Self::SecretVersions => "secret-versions",
            Self::SecretSet => "secret-set",
            Self::Key => "key",
            Self::KeyList => "key-list",
            Self::KeyVersions => "key-versions",
            Self::Certificate => "certificate",
            Self::CertificateList => "certificate-list",
            Self::CertificateVersions => "certificate-versions",
            Self::Jwks => "jwks",
            Self::TokenRequest => "token-request",
            Self::ServiceAccount => "service-account",
            Self::Imds => "imds",
            Self::Challenge => "challenge",
            Self::Other => "other",
        }
    }
}

/// A request that has ended.
#[derive(Debug, Clone)]
pub struct RecordedRequest {
    /// Its kind.
    pub kind: RequestKind,
    /// Its method.
    pub method: String,
    /// Its host, in lower case, without the port.
    pub host: String,
    /// The server name in the client's TLS handshake; none if it connected to an address,
    /// or without TLS.
    pub server_name: Option<String>,
    /// Path and query, as sent.
    pub path_and_query: String,
    /// The status of the answer; none without an answer, because of a fault, or because the
    /// client closed the connection.
    pub status: Option<u16>,
    /// Whether it carried a bearer token.
    pub authenticated: bool,
    /// When it arrived.
    pub at: Instant,
}

/// Counts of requests of a kind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Answered requests, by their final kind.
    pub(crate) answered: usize,
    /// Maximum number of concurrent requests, by the kind that they seemed to have when they arrived.
    pub(crate) peak: usize,
    now: usize,
}

/// Everything recorded since the start or the last reset.
#[derive(Debug)]
pub(crate) struct Recorder {
    /// `None` if requests are only counted.
    requests: Option<Mutex<Vec<RecordedRequest>>>,
    tallies: Mutex<HashMap<RequestKind, Tally>>,
    connections: AtomicUsize,
}

impl Recorder {
    /// A recorder that keeps every request, or only counts them.
    pub(crate) fn new(keep_requests: bool) -> Self {
        Self {
            requests: keep_requests.then(Mutex::default),
            tallies: Mutex::default(),
            connections: AtomicUsize::new(0),
        }
    }

    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        self.requests.as_ref().map(|requests| lock(requests).clone()).unwrap_or_default()
    }

    pub(crate) fn tally(&self, kind: RequestKind) -> Tally {
        lock(&self.tallies).get(&kind).copied().unwrap_or_default()
    }

    pub(crate) fn clear(&self) {
        if let Some(requests) = &self.requests {
            lock(requests).clear();
        }
        self.connections.store(0, Ordering::Relaxed);
        for tally in lock(&self.tallies).values_mut() {
            *tally = Tally { answered: 0, peak: tally.now, now: tally.now };
        }
    }

    /// Counts a request as in flight until the returned guard is dropped, which records it. Its details are
    /// read only if requests are kept.
    pub(crate) fn begin(
        self: &Arc<Self>,
        kind: RequestKind,
        request: impl FnOnce() -> RecordedRequest,
    ) -> InFlight {
        let mut tallies = lock(&self.tallies);
        let tally = tallies.entry(kind).or_default();
        tally.now += 1;
        tally.peak = tally.peak.max(tally.now);
        let request = self.requests.is_some().then(request);
        InFlight { recorder: Arc::clone(self), came_as: kind, answered_as: None, request }
    }
}

/// A request in flight.
#[derive(Debug)]
pub(crate) struct InFlight {
    recorder: Arc<Recorder>,
    came_as: RequestKind,
    answered_as: Option<RequestKind>,
    request: Option<RecordedRequest>,
}

impl InFlight {
    /// Sets the status of the answer.
    pub(crate) fn answered(&mut self, status: u16, kind: RequestKind) {
        self.answered_as = Some(kind);
        if let Some(request) = &mut self.request {
            request.status = Some(status);
            request.kind = kind;
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut tallies = lock(&self.recorder.tallies);
        if let Some(tally) = tallies.get_mut(&self.came_as) {
            tally.now = tally.now.saturating_sub(1);
        }
        if let Some(kind) = self.answered_as {
            tallies.entry(kind).or_default().answered += 1;
        }
        if let (Some(requests), Some(request)) = (&self.recorder.requests, self.request.take()) {
            lock(requests).push(request);
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

    fn begin(recorder: &Arc<Recorder>, kind: RequestKind) -> InFlight {
        recorder.begin(kind, || request(kind))
    }

    #[test]
    fn the_peak_is_the_greatest_number_at_once_and_clearing_starts_from_what_is_under_way() {
        let recorder = Arc::new(Recorder::new(true));
        let first = begin(&recorder, RequestKind::Secret);
        let second = begin(&recorder, RequestKind::Secret);
        drop(first);
        assert_eq!(recorder.tally(RequestKind::Secret).peak, 2);
        recorder.clear();
        assert_eq!(recorder.tally(RequestKind::Secret).peak, 1);
        drop(second);
    }

    #[test]
    fn an_unanswered_request_is_recorded_and_not_counted() {
        let recorder = Arc::new(Recorder::new(true));
        drop(begin(&recorder, RequestKind::Secret));
        begin(&recorder, RequestKind::Secret).answered(401, RequestKind::Challenge);
        assert_eq!(recorder.requests().len(), 2);
        assert_eq!(recorder.tally(RequestKind::Secret).answered, 0);
        assert_eq!(recorder.tally(RequestKind::Challenge).answered, 1);
    }

    #[test]
    fn requests_that_are_not_kept_are_counted_all_the_same() {
        let recorder = Arc::new(Recorder::new(false));
        begin(&recorder, RequestKind::Secret).answered(200, RequestKind::Secret);
        assert!(recorder.requests().is_empty());
        let tally = recorder.tally(RequestKind::Secret);
        assert_eq!((tally.answered, tally.peak), (1, 1));
        recorder.clear();
        assert_eq!(recorder.tally(RequestKind::Secret), Tally::default());
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let names: std::collections::HashSet<_> = RequestKind::ALL.map(RequestKind::name).into();
        assert_eq!(names.len(), RequestKind::ALL.len());
    }
}
