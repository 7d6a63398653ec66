//! Values of others in messages.

/// A value as a message may show it: quoted, escaped, and cut at 64 characters.
pub(crate) fn quoted(value: &str) -> String {
    match value.char_indices().nth(64) {
        Some((end, _)) => format!("{:?}…", value.get(..end).unwrap_or_default()),
        None => format!("{value:?}"),
    }
}
