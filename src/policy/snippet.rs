//! Formats a rule as one line of YAML, for messages. Users can copy it into a policy.

use crate::plan::IdentityMode;

/// The rule that allows a namespace to mount these objects of these vaults.
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

/// The texts that some version of YAML reads as a boolean or null.
const RESERVED_WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "y", "n", "null"];

/// The text, in quotes if YAML could read it as another type.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'/'))
        && !RESERVED_WORDS.iter().any(|word| word.eq_ignore_ascii_case(text));
    if plain { text.to_owned() } else { format!("{text:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_yaml_reads_as_another_type_is_quoted() {
        for plain in ["team-a", "secret/007", "shared.vault.azure.net", "e3"] {
            assert_eq!(scalar(plain), plain);
        }
        for quoted in ["007", "1e3", "true", "No", "null", "-a", "a b", "a: b", "", "x#"] {
            assert_eq!(scalar(quoted), format!("{quoted:?}"));
        }
    }
}
