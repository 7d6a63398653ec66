//! Valid names ("About keys, secrets, and certificates", Azure Key Vault).

/// 3 to 24 letters, digits and hyphens.
pub(crate) fn is_vault(name: &str) -> bool {
    (3..=24).contains(&name.len()) && name.bytes().all(is_allowed)
}

/// 1 to 127 letters, digits and hyphens.
pub(crate) fn is_object(name: &str) -> bool {
    (1..=127).contains(&name.len()) && name.bytes().all(is_allowed)
}

/// 32 hexadecimal digits.
pub(crate) fn is_version(version: &str) -> bool {
    version.len() == 32 && version.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}
