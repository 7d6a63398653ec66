//! Key Vault's authentication challenge (`WWW-Authenticate: Bearer …`, RFC 6750).

/// The resource that a challenge requests a token for: `resource="https://vault.azure.net"`, or the same
/// as `scope="https://vault.azure.net/.default"`.
pub(super) fn resource(challenge: &str) -> Option<&str> {
    let parameters = challenge.trim().strip_prefix("Bearer ")?;
    let value = |wanted: &str| {
        parameters.split(',').find_map(|parameter| {
            let (name, value) = parameter.trim().split_once('=')?;
            let value = value.strip_prefix('"')?.strip_suffix('"')?;
            (name == wanted).then_some(value)
        })
    };
    value("resource").or_else(|| value("scope")).map(|value| value.trim_end_matches("/.default"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_and_scope_are_found_in_any_order() {
        let azure = Some("https://vault.azure.net");
        let authority = r#"authorization="https://login.microsoftonline.com/t""#;
        assert_eq!(resource(&format!(r#"Bearer {authority}, resource="https://vault.azure.net""#)), azure);
        assert_eq!(resource(&format!(r#"Bearer resource="https://vault.azure.net", {authority}"#)), azure);
        assert_eq!(
            resource(&format!(r#"Bearer {authority}, scope="https://vault.azure.net/.default""#)),
            azure
        );
        for none in [
            "",
            "Bearer",
            "Basic realm=\"x\"",
            &format!("Bearer {authority}"),
            "Bearer resource=x",
            "Bearer resource=\"",
        ] {
            assert_eq!(resource(none), None, "{none}");
        }
    }
}
