//! Types for secret bytes and text: tokens and object values.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Secret bytes: redacted in `Debug`, not serializable, zeroized on drop.
#[derive(Clone, Default, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes ownership of the bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Borrows the bytes, to send or write them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Returns the bytes without zeroizing them, to send them.
    pub fn into_exposed(mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }

    /// Appends bytes. A buffer that is outgrown is zeroized.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        let length = self.0.len() + bytes.len();
        if length > self.0.capacity() {
            let mut larger = Vec::with_capacity(length.max(2 * self.0.capacity()));
            larger.extend_from_slice(&self.0);
            self.0.zeroize();
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes([{} bytes])", self.0.len())
    }
}

/// Secret text with the same guarantees as [`SecretBytes`].
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SecretText(String);

impl SecretText {
    /// Takes ownership of the text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Borrows the text, to send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appended_bytes_follow_those_before() {
        let mut bytes = SecretBytes::default();
        for part in [&b"a"[..], b"", b"bc", &[b'd'; 100]] {
            bytes.append(part);
        }
        assert_eq!(bytes.expose(), [&b"abc"[..], &[b'd'; 100]].concat());
    }

    #[test]
    fn debug_shows_no_secret() {
        let bytes = format!("{:?}", SecretBytes::new(b"hunter2".to_vec()));
        let text = format!("{:?}", SecretText::new("hunter2".to_owned()));
        assert!(!bytes.contains("hunter2") && !bytes.contains("104"), "{bytes}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}
