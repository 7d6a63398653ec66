//! `objectEncoding`: decodes the stored text.

use data_encoding::HEXLOWER_PERMISSIVE;

use super::error::Problem;
use crate::base64;
use crate::plan::ObjectEncoding;
use crate::secret::SecretBytes;

pub(super) fn decode(encoding: ObjectEncoding, value: SecretBytes) -> Result<SecretBytes, Problem> {
    match encoding {
        ObjectEncoding::Utf8 => Ok(value),
        ObjectEncoding::Base64 => base64::decode(value.expose()).ok_or(Problem::Encoding("base64")),
        ObjectEncoding::Hex => HEXLOWER_PERMISSIVE
            .decode(value.expose())
            .map(SecretBytes::new)
            .map_err(|_| Problem::Encoding("an even number of hexadecimal digits")),
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;
    use proptest::prelude::*;

    use super::*;

    fn decoded(encoding: ObjectEncoding, text: &str) -> Result<Vec<u8>, ()> {
        decode(encoding, SecretBytes::new(text.into())).map(SecretBytes::into_exposed).map_err(|_| ())
    }

    #[test]
    fn text_is_decoded_like_in_go() {
        assert_eq!(decoded(ObjectEncoding::Utf8, "aGk=\n"), Ok(b"aGk=\n".to_vec()));
        assert_eq!(decoded(ObjectEncoding::Base64, "aGk=\n"), Ok(b"hi".to_vec()));
        assert_eq!(decoded(ObjectEncoding::Hex, "00fFa1"), Ok(vec![0, 255, 0xa1]));
        for bad in ["aGk", "aGk=aGk="] {
            assert!(decoded(ObjectEncoding::Base64, bad).is_err(), "{bad}");
        }
        for bad in ["0", "0x00", "zz", "00\n"] {
            assert!(decoded(ObjectEncoding::Hex, bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn decoding_reverses_encoding(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decoded(ObjectEncoding::Base64, &BASE64.encode(&bytes)), Ok(bytes.clone()));
            prop_assert_eq!(decoded(ObjectEncoding::Hex, &HEXLOWER_PERMISSIVE.encode(&bytes)), Ok(bytes));
        }
    }
}
