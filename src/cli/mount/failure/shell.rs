//! Words of a shell's command line.

/// A word that the shell takes as it is. Tokens and files have some of them, so what means something to a shell is
/// quoted.
pub(super) fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@=%+,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_to_a_shell_is_quoted() {
        for (text, expected) in [
            ("api://AzureADTokenExchange", "api://AzureADTokenExchange"),
            ("system:serviceaccount:shop:cart", "system:serviceaccount:shop:cart"),
            ("", "''"),
            ("a b", "'a b'"),
            ("$(reboot)", "'$(reboot)'"),
            ("it's", r"'it'\''s'"),
        ] {
            assert_eq!(word(text), expected, "{text}");
        }
    }
}
