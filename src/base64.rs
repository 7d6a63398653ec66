//! Base64 as Go's `base64.StdEncoding` reads it.

use std::sync::LazyLock;

use data_encoding::{BASE64, Encoding};

use crate::secret::SecretBytes;

/// Bits after the last byte are dropped, whatever they are.
static STANDARD: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = BASE64.specification();
    specification.check_trailing_bits = false;
    specification.encoding().unwrap_or(BASE64)
});

/// Decodes the standard alphabet with its padding, and passes over line breaks. `None` for anything else, also for text
/// after the padding.
pub(crate) fn decode(text: &[u8]) -> Option<SecretBytes> {
    // Sized before it is filled: a vector that grew would leave copies of a secret behind.
    let mut characters = Vec::with_capacity(text.len());
    characters.extend(text.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')));
    let characters = SecretBytes::new(characters);
    let unpadded = characters.expose().iter().take_while(|&&byte| byte != b'=').count();
    // `data-encoding` would read several padded texts, end to end.
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
    fn what_go_reads_is_read() {
        for text in ["aGk=", "aGk=\n", "aG\r\nk=", "aGk\n=", "aGl=", "aGm=", "aGn="] {
            assert_eq!(decoded(text), Some(b"hi".to_vec()), "{text:?}");
        }
        assert_eq!(decoded("aA=\n="), Some(b"h".to_vec()));
        assert_eq!(decoded("\n"), Some(Vec::new()));
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in ["aGk", "aGk=x", "a Gk=", "_-==", "aGk=aGk=", "aGk==", "=", "====", "aA==aA==", "aGk=\n="]
        {
            assert_eq!(decoded(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decoded(&BASE64.encode(&bytes)), Some(bytes));
        }

        #[test]
        fn any_text_is_decoded_or_refused(text in "[aGk=+/\r\n_ -]{0,40}") {
            let _ = decoded(&text);
        }
    }
}
