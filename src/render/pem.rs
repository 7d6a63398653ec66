//! PEM (RFC 7468), written as Go's `encoding/pem` writes it and taken apart byte for byte.
//!
//! The PEM crates give no block's own bytes, and leave what they decode in memory; base64 is
//! `data-encoding`'s.

use data_encoding::BASE64;

use super::encoding::PERMISSIVE_BASE64;
use crate::secret::SecretBytes;

/// The label of a certificate.
pub const CERTIFICATE: &str = "CERTIFICATE";
/// The label of a PKCS#8 private key.
pub const PRIVATE_KEY: &str = "PRIVATE KEY";

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
/// What a line of 64 characters encodes.
const LINE_BYTES: usize = 48;

/// A certificate's PEM, taken apart.
#[derive(Debug)]
pub struct Parts {
    /// All blocks of certificates, in the text's order.
    pub certificates: SecretBytes,
    /// All other blocks, in the text's order: private keys, and what belongs to them.
    pub keys: SecretBytes,
}

/// One block, in the bytes in which it stands in the text.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Block<'a> {
    label: &'a [u8],
    /// What stands between the two lines.
    body: &'a [u8],
    /// From `-----BEGIN` to the end of the end line.
    text: &'a [u8],
}

/// Appends a block: lines of 64 characters, each ended by `\n`.
pub fn encode(label: &str, der: &[u8], out: &mut SecretBytes) {
    let base64 = BASE64.encode_len(der.len());
    let frame = BEGIN.len() + END.len() + 2 * (label.len() + DASHES.len() + 1);
    let needed = frame + base64 + der.len().div_ceil(LINE_BYTES);
    let mut text = grown(out, needed);
    for part in [BEGIN, label.as_bytes(), DASHES, b"\n"] {
        text.extend_from_slice(part);
    }
    for line in der.chunks(LINE_BYTES) {
        let mut characters = [0; LINE_BYTES / 3 * 4];
        if let Some(characters) = characters.get_mut(..BASE64.encode_len(line.len())) {
            BASE64.encode_mut(line, characters);
            text.extend_from_slice(characters);
        }
        zeroize::Zeroize::zeroize(&mut characters);
        text.push(b'\n');
    }
    for part in [END, label.as_bytes(), DASHES, b"\n"] {
        text.extend_from_slice(part);
    }
    *out = SecretBytes::new(text);
}

/// A copy of `bytes` with room for `more`: a vector that grew by itself would leave the old copy
/// behind, unwiped.
fn grown(bytes: &SecretBytes, more: usize) -> Vec<u8> {
    let mut grown = Vec::with_capacity(bytes.len() + more);
    grown.extend_from_slice(bytes.expose());
    grown
}

/// Splits the PEM text of a certificate into its certificates and everything else, each block in its own bytes. Either
/// part may be empty. As in Go's `pem.Decode`, a malformed block, and text around the blocks, go to neither.
pub fn split(text: &[u8]) -> Parts {
    let blocks = blocks(text);
    let of = |wanted: fn(&[u8]) -> bool| {
        let chosen = || blocks.iter().filter(|block| wanted(block.label));
        let length = chosen().map(|block| block.text.len() + 1).sum();
        let mut bytes = Vec::with_capacity(length);
        for block in chosen() {
            bytes.extend_from_slice(block.text);
            // A last line without its end must not run into the next block.
            if !block.text.ends_with(b"\n") {
                bytes.push(b'\n');
            }
        }
        SecretBytes::new(bytes)
    };
    Parts {
        certificates: of(|label| label == CERTIFICATE.as_bytes()),
        keys: of(|label| label != CERTIFICATE.as_bytes()),
    }
}

fn blocks(text: &[u8]) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((line, after)) = next_line(rest) {
        let found = label(line, BEGIN).and_then(|label| block(label, rest, after));
        match found.filter(|block| is_base64(block.body)) {
            Some(block) => {
                rest = rest.get(block.text.len()..).unwrap_or_default();
                blocks.push(block);
            }
            None => rest = after,
        }
    }
    blocks
}

/// The block that begins `text` with the line before `body`.
fn block<'a>(label_wanted: &'a [u8], text: &'a [u8], body: &'a [u8]) -> Option<Block<'a>> {
    let mut rest = body;
    loop {
        let (line, after) = next_line(rest)?;
        if line.starts_with(DASHES) {
            return (label(line, END)? == label_wanted).then_some(Block {
                label: label_wanted,
                body: body.get(..body.len() - rest.len())?,
                text: text.get(..text.len() - after.len())?,
            });
        }
        rest = after;
    }
}

/// The first line, without white space at its end, and what follows it.
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

/// Whether a block's body is base64 of something, after headers (`Proc-Type: …`) if there are any.
fn is_base64(body: &[u8]) -> bool {
    let mut base64 = SecretBytes::new(Vec::new());
    let mut rest = body;
    let mut text = grown(&base64, body.len());
    let mut headers = true;
    while let Some((line, after)) = next_line(rest) {
        rest = after;
        headers &= line.contains(&b':');
        if !headers {
            text.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
        }
    }
    base64 = SecretBytes::new(text);
    !base64.is_empty() && PERMISSIVE_BASE64.decode(base64.expose()).map(SecretBytes::new).is_ok()
}

#[cfg(test)]
mod tests;
