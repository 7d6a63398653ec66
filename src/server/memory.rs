//! The memory of a large answer stays charged to its tenant until the answer is sent.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Body as HttpBody, Bytes, http};

use crate::fair::Permit;

/// An extension of a response: the permit for its memory.
#[derive(Clone, Debug)]
pub(super) struct AnswerMemory {
    _permit: Arc<Permit>,
}

impl From<Arc<Permit>> for AnswerMemory {
    fn from(permit: Arc<Permit>) -> Self {
        Self { _permit: permit }
    }
}

/// Moves the permit of a response into its body, which is dropped after sending.
pub(super) fn attach_permit(response: http::Response<Body>) -> http::Response<Body> {
    let (mut parts, body) = response.into_parts();
    let body = match parts.extensions.remove::<AnswerMemory>() {
        Some(memory) => Body::new(HoldingBody { body, _memory: memory }),
        None => body,
    };
    http::Response::from_parts(parts, body)
}

struct HoldingBody {
    body: Body,
    _memory: AnswerMemory,
}

impl HttpBody for HoldingBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
