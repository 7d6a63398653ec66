//! Quotes untrusted values in messages.

/// Returns the value quoted, escaped, and truncated to 64 characters.
pub(crate) fn quoted(value: &str) -> String {
    match value.char_indices().nth(64) {
        Some((end, _)) => format!("{:?}…", value.get(..end).unwrap_or_default()),
        None => format!("{value:?}"),
    }
}
