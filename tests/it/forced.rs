//! Forces any answer in place of a service's own.

use keyvault_emulator::{Emulator, Recorded};
use serde_json::json;

use crate::harness::TENANT;

/// Makes the service at `url` return this answer.
pub fn answer(
    emulator: &Emulator,
    (method, url): (&str, &str),
    status: u16,
    headers: &[(&str, &str)],
    body: &str,
) {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect::<serde_json::Map<_, _>>();
    let recorded = json!({
        "source": {"repository": "none", "path": "none", "commit": "none"},
        "request": {"method": method, "url": url},
        "response": {"status": status, "headers": headers, "body": body},
    });
    let rule = Recorded::from_json(&recorded.to_string()).unwrap().rule().unwrap();
    emulator.heal();
    emulator.inject_rule(rule).unwrap();
}

/// Makes Entra's token endpoint return this answer.
pub fn token_answer(emulator: &Emulator, status: u16, content_type: &str, body: &str) {
    let url = format!("https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token");
    answer(emulator, ("POST", &url), status, &[("content-type", content_type)], body);
}
