//! A body, and how it ends.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};

/// The body of an answer.
#[derive(Debug, Default)]
pub(crate) struct Body {
    content: Bytes,
    ending: Ending,
}

/// What follows the content.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The end.
    #[default]
    Proper,
    /// The end, though the header `Content-Length` says something else: hyper is not to correct it.
    Early,
    /// Nothing, not even the end.
    Never,
}

impl From<String> for Body {
    fn from(content: String) -> Self {
        Self { content: content.into(), ending: Ending::Proper }
    }
}

impl Body {
    pub(crate) fn len(&self) -> usize {
        self.content.len()
    }

    /// The first `length` bytes, and then this.
    pub(crate) fn cut(self, length: usize, ending: Ending) -> Self {
        Self { content: self.content.slice(..length.min(self.content.len())), ending }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !self.content.is_empty() {
            let data = std::mem::take(&mut self.content);
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match self.ending {
            Ending::Proper => Poll::Ready(None),
            Ending::Early => {
                // hyper sends what it has before it polls again; after an early end it would not.
                self.ending = Ending::Proper;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Ending::Never => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_empty() && self.ending == Ending::Proper
    }

    fn size_hint(&self) -> SizeHint {
        match self.ending {
            Ending::Proper => SizeHint::with_exact(self.content.len() as u64),
            Ending::Early | Ending::Never => SizeHint::default(),
        }
    }
}
