//! Parses and writes PEM (RFC 7468) like Go's `encoding/pem`.
//!
//! The existing PEM crates do not zeroize decoded data. Base64 is done by `data-encoding`.

use data_encoding::BASE64;

use crate::base64;
use crate::secret::SecretBytes;

/// The label of a certificate.
pub const CERTIFICATE: &str = "CERTIFICATE";
/// The label of a PKCS#8 private key.
pub const PRIVATE_KEY: &str = "PRIVATE KEY";

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
/// The number of bytes that a line of 64 characters encodes.
const LINE_BYTES: usize = 48;

/// The certificates and the keys of a PEM text.
#[derive(Debug)]
pub struct Parts {
    /// All certificate blocks, in the text's order.
    pub certificates: SecretBytes,
    /// All other blocks, in the text's order: private keys and their parameters.
    pub keys: SecretBytes,
}

/// One block of a text.
struct Block<'a> {
    label: &'a str,
    content: PemContent<'a>,
    /// The length in bytes, from `-----BEGIN` to the end of the last line.
    length: usize,
}

enum PemContent<'a> {
    /// The decoded contents of a block without headers.
    Der(SecretBytes),
    /// The unchanged text of a block with headers (`Proc-Type: …`).
    WithHeaders(&'a [u8]),
}

/// Appends a block with lines of 64 characters.
pub fn encode(label: &str, der: &[u8], out: &mut SecretBytes) {
    for part in [BEGIN, label.as_bytes(), DASHES, b"\n"] {
        out.append(part);
    }
    for line in der.chunks(LINE_BYTES) {
        let mut characters = [0; LINE_BYTES / 3 * 4];
        if let Some(characters) = characters.get_mut(..BASE64.encode_len(line.len())) {
            BASE64.encode_mut(line, characters);
            out.append(characters);
        }
        zeroize::Zeroize::zeroize(&mut characters);
        out.append(b"\n");
    }
    for part in [END, label.as_bytes(), DASHES, b"\n"] {
        out.append(part);
    }
}

/// Splits a PEM text into its certificates and its other blocks. Either part may be empty. Like Go's `pem.Decode` and
/// `pem.Encode`, it drops malformed blocks and text around the blocks, and writes each block again with lines of 64
/// characters. A block with headers is copied unchanged.
pub fn split(text: &[u8]) -> Parts {
    let blocks = blocks(text);
    let of = |wanted: fn(&str) -> bool| {
        let mut part = SecretBytes::default();
        for block in blocks.iter().filter(|block| wanted(block.label)) {
            match &block.content {
                PemContent::Der(der) => encode(block.label, der.expose(), &mut part),
                PemContent::WithHeaders(lines) => {
                    part.append(lines);
                    // The last line may have no line break; add one before the next block.
                    if !lines.ends_with(b"\n") {
                        part.append(b"\n");
                    }
                }
            }
        }
        part
    };
    Parts { certificates: of(|label| label == CERTIFICATE), keys: of(|label| label != CERTIFICATE) }
}

fn blocks(text: &[u8]) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((line, after)) = next_line(rest) {
        match label(line, BEGIN).and_then(|label| block(label, rest, after)) {
            Some(block) => {
                rest = rest.get(block.length..).unwrap_or_default();
                blocks.push(block);
            }
            None => rest = after,
        }
    }
    blocks
}

/// The block at the start of `text`, whose contents start at `body`; `None` if it is malformed.
fn block<'a>(wanted: &'a [u8], text: &'a [u8], body: &'a [u8]) -> Option<Block<'a>> {
    let mut rest = body;
    loop {
        let (line, after) = next_line(rest)?;
        if line.starts_with(DASHES) {
            if label(line, END)? != wanted {
                return None;
            }
            let lines = text.get(..text.len() - after.len())?;
            let (der, has_headers) = decoded(body.get(..body.len() - rest.len())?)?;
            let content = if has_headers { PemContent::WithHeaders(lines) } else { PemContent::Der(der) };
            return Some(Block { label: str::from_utf8(wanted).ok()?, content, length: lines.len() });
        }
        rest = after;
    }
}

/// The first line without trailing white space, and the rest of the text.
fn next_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if text.is_empty() {
        return None;
    }
    let end = text.iter().position(|&byte| byte == b'\n').map_or(text.len(), |at| at + 1);
    text.split_at_checked(end).map(|(line, rest)| (line.trim_ascii_end(), rest))
}

/// The label of a `-----BEGIN label-----` or `-----END label-----` line.
fn label<'a>(line: &'a [u8], kind: &[u8]) -> Option<&'a [u8]> {
    line.strip_prefix(kind)?.strip_suffix(DASHES)
}

/// The decoded contents of a block, and whether it has headers. `None` if the contents are not base64, or are empty.
fn decoded(body: &[u8]) -> Option<(SecretBytes, bool)> {
    let mut rest = body;
    let mut text = Vec::with_capacity(body.len());
    let mut in_headers = true;
    let mut has_headers = false;
    while let Some((line, after)) = next_line(rest) {
        rest = after;
        in_headers &= line.contains(&b':');
        has_headers |= in_headers;
        if !in_headers {
            text.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
        }
    }
    let der = base64::decode(SecretBytes::new(text).expose())?;
    (!der.is_empty()).then_some((der, has_headers))
}

#[cfg(test)]
mod tests;
