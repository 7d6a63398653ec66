//! A rule in one line of YAML, to be copied from a message into a policy.

use crate::plan::IdentityMode;

/// The rule that allows these objects of these vaults.
pub(super) fn rule(namespace: &str, vaults: &[&str], objects: &[&str], mode: IdentityMode) -> String {
    format!(
        "{{namespaces: {}, vaults: {}, objects: {}, identities: [{mode}]}}",
        list(&[namespace]),
        list(vaults),
        list(objects),
    )
}

fn list(texts: &[&str]) -> String {
    format!("[{}]", texts.iter().map(|text| scalar(text)).collect::<Vec<_>>().join(", "))
}

/// What YAML takes for a boolean or null, in any of its versions.
const WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "y", "n", "null"];

/// The text as it is, or in quotes if YAML might take it for something else.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'/'))
        && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text));
    if plain { text.to_owned() } else { format!("{text:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_yaml_takes_for_something_else_is_quoted() {
        for plain in ["team-a", "secret/007", "shared.vault.azure.net", "e3"] {
            assert_eq!(scalar(plain), plain);
        }
        for quoted in ["007", "1e3", "true", "No", "null", "-a", "a b", "a: b", "", "x#"] {
            assert_eq!(scalar(quoted), format!("{quoted:?}"));
        }
    }
}
