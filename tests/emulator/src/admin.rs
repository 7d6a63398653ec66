//! Looking into the emulator, and breaking it, from another process. Plain HTTP on loopback.

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::fault::Rule;
use crate::record::{Recorder, RequestKind, Tally};
use crate::reply::{self, Reply};
use crate::service::Shared;

/// Maximum size of a request body; enough for any list of rules.
const LARGEST_BODY: usize = 1 << 20;

impl Shared {
    /// Answers a request to the admin endpoint.
    pub(crate) async fn administer(&self, request: Request<Incoming>) -> Reply {
        let (parts, body) = request.into_parts();
        match (&parts.method, parts.uri.path()) {
            (&Method::GET, "/requests") => reply::json(StatusCode::OK, &counts(&self.recorder)),
            (&Method::DELETE, "/requests") => {
                self.recorder.clear();
                reply::empty(StatusCode::NO_CONTENT)
            }
            (&Method::PUT, "/faults") => match Limited::new(body, LARGEST_BODY).collect().await {
                Ok(body) => self.replace_rules(&body.to_bytes()),
                Err(_) => reply::text(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large.".to_owned()),
            },
            _ => {
                let message = "Here are GET /requests, DELETE /requests and PUT /faults.".to_owned();
                reply::text(StatusCode::NOT_FOUND, message)
            }
        }
    }

    fn replace_rules(&self, body: &[u8]) -> Reply {
        let rules = str::from_utf8(body).map_err(|error| error.to_string());
        match rules.and_then(|yaml| Rule::list(yaml).map_err(|error| error.to_string())) {
            Ok(rules) => {
                self.faults.replace(rules, Instant::now());
                reply::empty(StatusCode::NO_CONTENT)
            }
            Err(error) => reply::text(StatusCode::BAD_REQUEST, error),
        }
    }
}

fn counts(recorder: &Recorder) -> Value {
    let of = |number: fn(Tally) -> usize| -> Map<String, Value> {
        let numbers = RequestKind::ALL.map(|kind| (kind.name().to_owned(), number(recorder.tally(kind))));
        numbers.into_iter().filter(|(_, number)| *number > 0).map(|(name, n)| (name, n.into())).collect()
    };
    json!({
        "answered": of(|tally| tally.answered),
        "peak": of(|tally| tally.peak),
        "connections": recorder.connections(),
    })
}
