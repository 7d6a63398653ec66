//! Answers of the services.

mod body;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde_json::Value;

use crate::fault::RecordedAnswer;

pub(crate) use body::{Body, Ending};

/// An answer.
pub(crate) type Reply = Response<Body>;

pub(crate) fn json(status: StatusCode, body: &Value) -> Reply {
    with_body(status, "application/json; charset=utf-8", body.to_string())
}

pub(crate) fn html(status: StatusCode, body: &'static str) -> Reply {
    with_body(status, "text/html; charset=utf-8", body.to_owned())
}

pub(crate) fn text(status: StatusCode, body: String) -> Reply {
    with_body(status, "text/plain; charset=utf-8", body)
}

/// A recorded answer of Azure.
pub(crate) fn recorded(answer: &RecordedAnswer) -> Reply {
    let mut reply = Response::new(Body::from(answer.body.clone()));
    *reply.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in &answer.headers {
        if let Ok(name) = HeaderName::try_from(name) {
            set_header(&mut reply, name, value);
        }
    }
    reply
}

/// No content at all.
pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Body::default());
    *reply.status_mut() = status;
    reply
}

/// Adds a header; an invalid value is left out.
pub(crate) fn set_header(reply: &mut Reply, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().insert(name, value);
    }
}

fn with_body(status: StatusCode, content_type: &'static str, body: String) -> Reply {
    let mut reply = Response::new(Body::from(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}
