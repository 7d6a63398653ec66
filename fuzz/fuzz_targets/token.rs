//! A service account token, whose signature is checked later.

#![no_main]

use keyvault_csi_provider::plan::{ServiceAccountToken, TOKEN_EXCHANGE_AUDIENCE};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &str| {
    match ServiceAccountToken::parse(raw.to_owned(), TOKEN_EXCHANGE_AUDIENCE) {
        Ok(token) => {
            assert!(!format!("{token:?}").contains(token.expose()), "a token never appears in a log")
        }
        Err(fault) => assert!(!format!("{fault:?}").is_empty(), "a refusal says why"),
    }
});
