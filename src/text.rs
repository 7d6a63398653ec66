//! Decodes text files from users: UTF-8 with or without a byte order mark, and UTF-16 with one, which Windows PowerShell
//! writes when it redirects a program's output.

use zeroize::Zeroize;

/// An error for bytes that are not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// The bytes have no byte order mark and are not UTF-8.
    #[error("it is neither UTF-8 nor UTF-16 with a byte order mark; save it as UTF-8")]
    NotUtf8,
    /// The bytes have a byte order mark of UTF-16 and are not UTF-16.
    #[error("it has a UTF-16 byte order mark, but is not UTF-16; save it as UTF-8")]
    NotUtf16,
}

const UTF_8: &[u8] = b"\xef\xbb\xbf";
const UTF_16_LE: &[u8] = b"\xff\xfe";
const UTF_16_BE: &[u8] = b"\xfe\xff";

/// Decodes the bytes of a file, and removes the byte order mark. Zeroizes all copies except the returned one, because
/// the file may contain a token.
///
/// # Errors
/// [`TextError`] if the bytes do not match their byte order mark, or are not UTF-8.
pub fn decode(mut bytes: Vec<u8>) -> Result<String, TextError> {
    let unit = if bytes.starts_with(UTF_16_LE) {
        u16::from_le_bytes
    } else if bytes.starts_with(UTF_16_BE) {
        u16::from_be_bytes
    } else {
        if bytes.starts_with(UTF_8) {
            bytes.drain(..UTF_8.len());
        }
        return String::from_utf8(bytes).map_err(|error| {
            error.into_bytes().zeroize();
            TextError::NotUtf8
        });
    };
    let text = utf_16(bytes.get(UTF_16_LE.len()..).unwrap_or_default(), unit);
    bytes.zeroize();
    text.ok_or(TextError::NotUtf16)
}

fn utf_16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    // Enough for any text: a string that grows would leave an unwiped copy behind.
    let mut text = String::with_capacity(pairs.len() * 3);
    let mut characters = char::decode_utf16(pairs.iter().map(|pair| unit(*pair)));
    let complete = rest.is_empty() && characters.all(|c| c.map(|c| text.push(c)).is_ok());
    if !complete {
        text.zeroize();
    }
    complete.then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn utf_16_bytes(text: &str, little: bool) -> Vec<u8> {
        let bytes = |unit: u16| if little { unit.to_le_bytes() } else { unit.to_be_bytes() };
        std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(bytes).collect()
    }

    #[test]
    fn bytes_that_do_not_match_their_byte_order_mark_are_refused() {
        assert_eq!(decode(b"a\xff".to_vec()), Err(TextError::NotUtf8));
        assert_eq!(decode(b"\xef\xbb\xbf\xff".to_vec()), Err(TextError::NotUtf8));
        for bytes in
            [&b"\xff\xfea"[..], b"\xff\xfea\0b", b"\xff\xfe\0\xd8", b"\xfe\xff\xdc\0", b"\xfe\xff\xd8\0\0a"]
        {
            assert_eq!(decode(bytes.to_vec()), Err(TextError::NotUtf16), "{bytes:?}");
        }
    }

    #[test]
    fn the_byte_order_mark_is_removed() {
        for bytes in [&b"\xef\xbb\xbfa\n"[..], b"\xff\xfea\0\n\0", b"\xfe\xff\0a\0\n", b"a\n"] {
            assert_eq!(decode(bytes.to_vec()).as_deref(), Ok("a\n"), "{bytes:?}");
        }
        for nothing in [&b""[..], b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"] {
            assert_eq!(decode(nothing.to_vec()).as_deref(), Ok(""), "{nothing:?}");
        }
    }

    proptest! {
        #[test]
        fn text_is_the_same_in_every_encoding(text in any::<String>().prop_filter("a mark", |text| !text.starts_with('\u{feff}'))) {
            prop_assert_eq!(decode(text.clone().into_bytes()), Ok(text.clone()));
            prop_assert_eq!(decode(format!("\u{feff}{text}").into_bytes()), Ok(text.clone()));
            prop_assert_eq!(decode(utf_16_bytes(&text, true)), Ok(text.clone()));
            prop_assert_eq!(decode(utf_16_bytes(&text, false)), Ok(text));
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in any::<Vec<u8>>(), mark in prop_oneof![Just(UTF_8), Just(UTF_16_LE), Just(UTF_16_BE)]) {
            let _ = decode(bytes.clone());
            let _ = decode([mark, &bytes].concat());
        }
    }
}
