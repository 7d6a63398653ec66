//! Decodes base64 like Go's `base64.StdEncoding`.

use std::sync::LazyLock;

use data_encoding::{BASE64, Encoding};

use crate::secret::SecretBytes;

/// Standard base64 that ignores trailing bits.
static STANDARD: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = BASE64.specification();
    specification.check_trailing_bits = false;
    specification.encoding().unwrap_or(BASE64)
});

/// Decodes the standard alphabet with padding, and ignores line breaks. Returns `None` for any other character, and for
/// text after the padding.
pub(crate) fn decode(text: &[u8]) -> Option<SecretBytes> {
    // Allocated with its final capacity: a vector that grows would leave unwiped copies of a secret behind.
    let mut characters = Vec::with_capacity(text.len());
    characters.extend(text.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')));
    let characters = SecretBytes::new(characters);
    let unpadded = characters.expose().iter().take_while(|&&byte| byte != b'=').count();
    // `data-encoding` would accept several concatenated padded texts.
    if characters.len() - unpadded > 2 {
        return None;
    }
    STANDARD.decode(characters.expose()).map(SecretBytes::new).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(text: &str) -> Option<Vec<u8>> {
        decode(text.as_bytes()).map(SecretBytes::into_exposed)
    }

    #[test]
    fn text_that_go_accepts_is_decoded() {
        for text in ["aGk=", "aGk=\n", "aG\r\nk=", "aGk\n=", "aGl=", "aGm=", "aGn="] {
            assert_eq!(decoded(text), Some(b"hi".to_vec()), "{text:?}");
        }
        assert_eq!(decoded("aA=\n="), Some(b"h".to_vec()));
        assert_eq!(decoded("\n"), Some(Vec::new()));
    }

    #[test]
    fn text_that_go_refuses_is_refused() {
        for text in ["aGk", "aGk=x", "a Gk=", "_-==", "aGk=aGk=", "aGk==", "=", "====", "aA==aA==", "aGk=\n="]
        {
            assert_eq!(decoded(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn decoding_reverses_encoding(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decoded(&BASE64.encode(&bytes)), Some(bytes));
        }

        #[test]
        fn any_text_is_decoded_or_refused(text in "[aGk=+/\r\n_ -]{0,40}") {
            let _ = decoded(&text);
        }
    }
}
