//! `objectEncoding`: stored text to bytes.

use std::sync::LazyLock;

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};

use super::error::Problem;
use crate::plan::Encoding;
use crate::secret::SecretBytes;

/// Standard base64 as Go's `base64.StdEncoding` reads it: bits after the last byte are dropped, whatever they are.
pub(super) static PERMISSIVE_BASE64: LazyLock<data_encoding::Encoding> = LazyLock::new(|| {
    let mut specification = BASE64.specification();
    specification.check_trailing_bits = false;
    specification.encoding().unwrap_or(BASE64)
});

pub(super) fn decode(encoding: Encoding, value: SecretBytes) -> Result<SecretBytes, Problem> {
    match encoding {
        Encoding::Utf8 => Ok(value),
        Encoding::Base64 => base64(&value).map_err(|_| Problem::Encoding("base64")),
        Encoding::Hex => HEXLOWER_PERMISSIVE
            .decode(value.expose())
            .map(SecretBytes::new)
            .map_err(|_| Problem::Encoding("an even number of hexadecimal digits")),
    }
}

/// Decodes as Go does, which reads what `base64` prints, line breaks included.
pub(super) fn base64(value: &SecretBytes) -> Result<SecretBytes, Problem> {
    let mut text = value.expose().to_vec();
    text.retain(|byte| !matches!(byte, b'\r' | b'\n'));
    let text = SecretBytes::new(text);
    PERMISSIVE_BASE64.decode(text.expose()).map(SecretBytes::new).map_err(|_| Problem::NotBase64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(encoding: Encoding, text: &str) -> Result<Vec<u8>, ()> {
        decode(encoding, SecretBytes::new(text.into())).map(SecretBytes::into_exposed).map_err(|_| ())
    }

    #[test]
    fn text_is_decoded_as_go_decodes_it() {
        assert_eq!(decoded(Encoding::Utf8, "aGk=\n"), Ok(b"aGk=\n".to_vec()));
        assert_eq!(decoded(Encoding::Base64, "aGk=\n"), Ok(b"hi".to_vec()));
        assert_eq!(decoded(Encoding::Base64, "aG\r\nk="), Ok(b"hi".to_vec()));
        assert_eq!(decoded(Encoding::Hex, "00fFa1"), Ok(vec![0, 255, 0xa1]));
        for trailing_bits in ["aGl=", "aGm=", "aGn="] {
            assert_eq!(decoded(Encoding::Base64, trailing_bits), Ok(b"hi".to_vec()));
        }
        for bad in ["aGk", "aGk=x", "a Gk=", "_-=="] {
            assert!(decoded(Encoding::Base64, bad).is_err(), "{bad}");
        }
        for bad in ["0", "0x00", "zz", "00\n"] {
            assert!(decoded(Encoding::Hex, bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decoded(Encoding::Base64, &BASE64.encode(&bytes)), Ok(bytes.clone()));
            prop_assert_eq!(decoded(Encoding::Hex, &HEXLOWER_PERMISSIVE.encode(&bytes)), Ok(bytes));
        }
    }
}
