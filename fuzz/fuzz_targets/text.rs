//! A user's file in any encoding: decoded to the same text, or refused.

#![no_main]

use keyvault_csi_provider::text::decode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = decode(bytes.to_vec()) else { return };
    assert!(text.len() <= bytes.len().max(bytes.len() / 2 * 3), "no text is longer than its units allow");
    if text.starts_with('\u{feff}') {
        // A second byte order mark is text.
        return;
    }
    let units = || std::iter::once(0xfeff).chain(text.encode_utf16());
    let encoded: [Vec<u8>; 4] = [
        text.clone().into_bytes(),
        format!("\u{feff}{text}").into_bytes(),
        units().flat_map(u16::to_le_bytes).collect(),
        units().flat_map(u16::to_be_bytes).collect(),
    ];
    for bytes in encoded {
        assert_eq!(decode(bytes).as_deref(), Ok(text.as_str()), "every encoding means the same");
    }
});
