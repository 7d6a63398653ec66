//! PEM (RFC 7468), read and written as Go's `encoding/pem` does it.
//!
//! The PEM crates leave what they decode in memory; base64 is `data-encoding`'s.

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

/// One block of a text.
struct Block<'a> {
    label: &'a str,
    content: PemContent<'a>,
    /// Bytes of the text from `-----BEGIN` to the end of the end line.
    length: usize,
}

enum PemContent<'a> {
    /// What a block without headers encodes.
    Der(SecretBytes),
    /// A block with headers (`Proc-Type: …`), as it stands in the text.
    WithHeaders(&'a [u8]),
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

/// Splits the PEM text of a certificate into its certificates and everything else. Either part may be empty. As with Go's
/// `pem.Decode` and `pem.Encode`, a malformed block and text around the blocks go to neither, and each block is written
/// anew, with lines of 64 characters; a block with headers stays as it is.
pub fn split(text: &[u8]) -> Parts {
    let blocks = blocks(text);
    let of = |wanted: fn(&str) -> bool| {
        let mut part = SecretBytes::default();
        for block in blocks.iter().filter(|block| wanted(block.label)) {
            match &block.content {
                PemContent::Der(der) => encode(block.label, der.expose(), &mut part),
                PemContent::WithHeaders(lines) => {
                    let mut bytes = grown(&part, lines.len() + 1);
                    bytes.extend_from_slice(lines);
                    // A last line without its end must not run into the next block.
                    if !lines.ends_with(b"\n") {
                        bytes.push(b'\n');
                    }
                    part = SecretBytes::new(bytes);
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

/// The block that begins `text` with the line before `body`; `None` if it is malformed.
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

/// What a block's body encodes, and whether there are headers before it. `None` if it is not base64, or empty.
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
