//! Makes the requests of drivers before v1.6 valid for h2.
//!
//! Their grpc-go sends the socket's path as `:authority`. RFC 9113 §8.3.1 forbids that, and h2
//! resets such a stream with `PROTOCOL_ERROR` before tonic sees it
//! (kubernetes-sigs/secrets-store-csi-driver#1862, hyperium/h2#487). This filter between the driver and h2 replaces
//! every literal `:authority` with a valid value.
//!
//! It decodes nothing and keeps no table (RFC 7541). The new value is never longer than the old one,
//! so no entry of h2's table is larger than the driver's own: h2 never evicts an entry that the driver still
//! refers to, and all indices remain valid.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// A connection of the driver whose bytes are rewritten for h2.
pub struct DriverConnection<S> {
    stream: S,
    rewriter: Rewriter,
    /// Rewritten bytes, not yet read from this position on.
    ready: Vec<u8>,
    position: usize,
}

impl<S> DriverConnection<S> {
    /// Reads from `stream`, starting with the client's connection preface.
    pub fn new(stream: S) -> Self {
        Self { stream, rewriter: Rewriter::default(), ready: Vec::new(), position: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for DriverConnection<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        loop {
            let left = this.ready.get(this.position..).unwrap_or_default();
            if !left.is_empty() {
                let (now, _) = left.split_at(left.len().min(buf.remaining()));
                buf.put_slice(now);
                this.position += now.len();
                return Poll::Ready(Ok(()));
            }
            this.ready.clear();
            this.position = 0;
            let mut chunk = [0; 4096];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut chunk))?;
            if chunk.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.rewriter.push(chunk.filled(), &mut this.ready);
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for DriverConnection<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<S: Connected> Connected for DriverConnection<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.connect_info()
    }
}

/// The value of every authority. It is valid, and one character is never longer than the original.
const AUTHORITY: &[u8] = b"l";
/// The index of `:authority` in the static table.
const AUTHORITY_NAME: usize = 1;
/// The length of a client's connection preface.
const PREFACE: usize = 24;
const FRAME_HEADER: usize = 9;
const HEADERS: u8 = 1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// The largest frame that h2 accepts by default; h2 rejects larger ones.
const LARGEST_FRAME: usize = 16 << 10;

/// Rewrites the bytes of one connection.
struct Rewriter {
    /// Number of bytes to pass through unchanged: the preface, or the rest of a frame.
    through: usize,
    /// The start of an incomplete frame; bounded by [`LARGEST_FRAME`].
    waiting: Vec<u8>,
}

impl Default for Rewriter {
    fn default() -> Self {
        Self { through: PREFACE, waiting: Vec::new() }
    }
}

impl Rewriter {
    /// Accepts bytes from the driver, and appends the bytes for h2 to `out`.
    fn push(&mut self, mut input: &[u8], out: &mut Vec<u8>) {
        loop {
            let (now, rest) = input.split_at(self.through.min(input.len()));
            out.extend_from_slice(now);
            self.through -= now.len();
            if rest.is_empty() {
                return;
            }
            let needed = self.needed().saturating_sub(self.waiting.len());
            let (more, rest) = rest.split_at(needed.min(rest.len()));
            self.waiting.extend_from_slice(more);
            input = rest;
            if self.waiting.len() >= self.needed() {
                self.release(out);
            }
        }
    }

    /// How many bytes of the frame are needed: its header, and all of a HEADERS frame.
    fn needed(&self) -> usize {
        match FrameHeader::of(&self.waiting) {
            Some(header) if header.is_rewritten() => FRAME_HEADER + header.length,
            _ => FRAME_HEADER,
        }
    }

    fn release(&mut self, out: &mut Vec<u8>) {
        let frame = std::mem::take(&mut self.waiting);
        match FrameHeader::of(&frame) {
            Some(header) if header.is_rewritten() => out.extend(rewritten(&header, &frame).unwrap_or(frame)),
            Some(header) => {
                self.through = header.length;
                out.extend(frame);
            }
            None => out.extend(frame),
        }
    }
}

/// The nine octets before every frame (RFC 9113 §4.1).
struct FrameHeader {
    length: usize,
    kind: u8,
    flags: u8,
    stream: [u8; 4],
}

impl FrameHeader {
    fn of(frame: &[u8]) -> Option<Self> {
        let &[high, middle, low, kind, flags, a, b, c, d] = frame.first_chunk::<FRAME_HEADER>()?;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        Some(Self { length, kind, flags, stream: [a, b, c, d] })
    }

    fn is_rewritten(&self) -> bool {
        self.kind == HEADERS && self.length <= LARGEST_FRAME
    }
}

/// The HEADERS frame with another authority; `None` if it continues in CONTINUATION frames, which those
/// drivers never send, or is malformed, which h2 will reject.
fn rewritten(header: &FrameHeader, frame: &[u8]) -> Option<Vec<u8>> {
    if header.flags & END_HEADERS == 0 {
        return None;
    }
    let mut block = frame.get(FRAME_HEADER..)?;
    if header.flags & PADDED != 0 {
        let (padding, rest) = block.split_first()?;
        block = rest.get(..rest.len().checked_sub(usize::from(*padding))?)?;
    }
    if header.flags & PRIORITY != 0 {
        // Exclusive bit, dependency and weight: deprecated, ignored by h2.
        block = block.get(5..)?;
    }
    let block = with_authority(block)?;
    let [_, high, middle, low] = u32::try_from(block.len()).ok()?.to_be_bytes();
    let mut out = vec![high, middle, low, HEADERS, header.flags & !(PADDED | PRIORITY)];
    out.extend(header.stream);
    out.extend(block);
    Some(out)
}

/// A header block (RFC 7541 §6) in which every non-empty literal with the static name `:authority` has the value
/// [`AUTHORITY`].
fn with_authority(mut block: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(block.len());
    while let Some(&first) = block.first() {
        let (prefix, literal) = match first {
            0x80.. => (7, false),
            0x40.. => (6, true),
            0x20.. => (5, false),
            _ => (4, true),
        };
        let (index, mut rest) = integer(block, prefix)?;
        let mut empty = true;
        let mut value = rest;
        if literal {
            if index == 0 {
                rest = string(rest)?.1;
            }
            value = rest;
            (empty, rest) = string(rest)?;
        }
        let (representation, before_value) = (consumed(block, rest)?, consumed(block, value)?);
        if literal && index == AUTHORITY_NAME && !empty {
            out.extend_from_slice(before_value);
            out.push(u8::try_from(AUTHORITY.len()).ok()?);
            out.extend_from_slice(AUTHORITY);
        } else {
            out.extend_from_slice(representation);
        }
        block = rest;
    }
    Some(out)
}

/// The part of `block` before `rest`, which is its end.
fn consumed<'a>(block: &'a [u8], rest: &[u8]) -> Option<&'a [u8]> {
    block.get(..block.len().checked_sub(rest.len())?)
}

/// Skips a string (§5.2), Huffman or not: whether it is empty, and the bytes after it.
fn string(block: &[u8]) -> Option<(bool, &[u8])> {
    let (octets, rest) = integer(block, 7)?;
    Some((octets == 0, rest.get(octets..)?))
}

/// Parses an integer (§5.1) with a prefix of this many bits, and returns the bytes after it.
fn integer(block: &[u8], prefix: u32) -> Option<(usize, &[u8])> {
    let most = (1_usize << prefix) - 1;
    let (first, mut block) = block.split_first()?;
    let mut value = usize::from(*first) & most;
    if value < most {
        return Some((value, block));
    }
    for shift in (0..28).step_by(7) {
        let (octet, rest) = block.split_first()?;
        block = rest;
        value += usize::from(octet & 0x7f) << shift;
        if octet & 0x80 == 0 {
            return Some((value, block));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn rewrite(chunks: &[&[u8]]) -> Vec<u8> {
        let (mut rewriter, mut out) = (Rewriter::default(), Vec::new());
        for chunk in chunks {
            rewriter.push(chunk, &mut out);
        }
        out
    }

    const PREFACE_BYTES: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    /// `:method POST`, `:path` literal, then `:authority` with incremental indexing.
    const BEFORE: &[u8] = &[0x83, 0x86, 0x44, 0x02, b'/', b'x'];
    const AFTER: &[u8] = &[0x40, 0x02, b't', b'e', 0x03, b'a', b'b', b'c', 0xbe, 0x3f, 0xe1, 0x1f];

    #[test]
    fn a_path_as_authority_is_replaced() {
        let path = b"\x41\x0f/tmp/azure.sock";
        let long = [b"\x01\x7f\x49".as_slice(), &[b'/'; 200]].concat();
        for authority in [path.as_slice(), &long, b"\x11\x03a/b"] {
            let block = [BEFORE, authority, AFTER].concat();
            let out =
                rewrite(&[PREFACE_BYTES, &frame(4, 0, b""), &frame(1, 4, &block), &frame(0, 1, b"data")]);
            let name = &authority[..1];
            let expected = [BEFORE, name, b"\x01l", AFTER].concat();
            assert_eq!(
                out,
                [PREFACE_BYTES, &frame(4, 0, b""), &frame(1, 4, &expected), &frame(0, 1, b"data")].concat()
            );
        }
    }

    #[test]
    fn padding_and_priority_are_removed() {
        let block = [BEFORE, b"\x41\x01/"].concat();
        let padded = [b"\x03\x00\x00\x00\x00\x07".as_slice(), &block, b"\0\0\0"].concat();
        let out = rewrite(&[PREFACE_BYTES, &frame(1, 4 | 8 | 0x20, &padded)]);
        assert_eq!(out, [PREFACE_BYTES, &frame(1, 4, &[BEFORE, b"\x41\x01l"].concat())].concat());
    }

    #[test]
    fn malformed_blocks_are_passed_to_h2_unchanged() {
        for payload in [b"\x41".as_slice(), b"\x41\x05ab", b"\x7f\xff\xff\xff\xff\xff", b"\x41\x7f"] {
            let whole = [PREFACE_BYTES, &frame(1, 4, payload)].concat();
            assert_eq!(rewrite(&[&whole]), whole);
        }
        let continued = [PREFACE_BYTES, &frame(1, 0, b"\x41\x01/")].concat();
        assert_eq!(rewrite(&[&continued]), continued);
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_chunks_come_out_the_same(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0_usize..400) {
            let whole = rewrite(&[PREFACE_BYTES, &bytes]);
            let (one, two) = bytes.split_at(at.min(bytes.len()));
            prop_assert_eq!(&rewrite(&[PREFACE_BYTES, one, two]), &whole);
            prop_assert!(whole.len() <= PREFACE + bytes.len());
        }

        #[test]
        fn other_frames_go_through_untouched(kind in 2_u8.., payload in prop::collection::vec(any::<u8>(), 0..300)) {
            let whole = [PREFACE_BYTES, &frame(kind, 4, &payload), &frame(0, 0, &payload)].concat();
            let bytes = whole.iter().map(std::slice::from_ref).collect::<Vec<_>>();
            prop_assert_eq!(rewrite(&bytes), whole);
        }
    }
}
