//! Writes YAML that every parser reads as the same value.

use std::fmt::Write;

/// A value to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    /// A string.
    Text(String),
    /// A string of several lines, written as a block if possible.
    Block(String),
    True,
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
    /// A value below lines of comment.
    Commented(Vec<String>, Box<Tree>),
}

impl Tree {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn map<const N: usize>(entries: [(&str, Self); N]) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    pub(super) fn commented(self, comments: Vec<String>) -> Self {
        if comments.is_empty() { self } else { Self::Commented(comments, Box::new(self)) }
    }

    /// The lines of a mapping or list, each indented by `indent` spaces, with a line break at the end.
    pub(super) fn lines(&self, indent: usize) -> String {
        let mut out = String::new();
        match self {
            Self::Map(entries) => {
                for (key, value) in entries {
                    let value = value.below_comments(indent, &mut out);
                    let _ = write!(out, "{:indent$}{}:", "", scalar(key));
                    value.after_key(indent, &mut out);
                }
            }
            Self::List(items) => {
                for item in items {
                    let item = item.below_comments(indent, &mut out);
                    let _ = write!(out, "{:indent$}- ", "");
                    match item {
                        Self::Map(entries) if !entries.is_empty() => {
                            out.push_str(item.lines(indent + 2).trim_start_matches(' '));
                        }
                        // A nested list would start after the dash.
                        Self::List(_) | Self::Map(_) => out.push_str(&(item.flow() + "\n")),
                        scalar => scalar.inline(indent, &mut out),
                    }
                }
            }
            scalar => scalar.inline(indent, &mut out),
        }
        out
    }

    /// The value on one line, as JSON.
    pub(super) fn flow(&self) -> String {
        match self {
            Self::Text(text) | Self::Block(text) => quoted(text),
            Self::True => "true".to_owned(),
            Self::List(items) => {
                format!("[{}]", items.iter().map(Self::flow).collect::<Vec<_>>().join(", "))
            }
            Self::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| format!("{}: {}", quoted(key), value.flow()));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
            }
            Self::Commented(_, tree) => tree.flow(),
        }
    }

    fn below_comments(&self, indent: usize, out: &mut String) -> &Self {
        let Self::Commented(comments, tree) = self else { return self };
        out.push_str(&comment_lines(comments, indent));
        tree.below_comments(indent, out)
    }

    fn after_key(&self, indent: usize, out: &mut String) {
        match self {
            Self::List(items) if !items.is_empty() => {
                out.push('\n');
                out.push_str(&self.lines(indent + 2));
            }
            Self::Map(entries) if !entries.is_empty() => {
                out.push('\n');
                out.push_str(&self.lines(indent + 2));
            }
            value => {
                out.push(' ');
                value.inline(indent, out);
            }
        }
    }

    /// Writes a value after a key or a dash, with the line break.
    fn inline(&self, indent: usize, out: &mut String) {
        match self {
            Self::Block(text) if is_block(text) => {
                out.push_str("|\n");
                for line in text.lines() {
                    let indent = if line.is_empty() { 0 } else { indent + 2 };
                    let _ = writeln!(out, "{:indent$}{line}", "");
                }
            }
            Self::Block(text) if is_block(&format!("{text}\n")) && text.contains(['"', '\n']) => {
                out.push_str("|-\n");
                for line in text.split('\n') {
                    let indent = if line.is_empty() { 0 } else { indent + 2 };
                    let _ = writeln!(out, "{:indent$}{line}", "");
                }
            }
            Self::Text(text) => out.push_str(&(scalar(text) + "\n")),
            other => out.push_str(&(other.flow() + "\n")),
        }
    }
}

/// Lines of comment, wrapped at [`WIDTH`].
pub(super) fn comment_lines(comments: &[String], indent: usize) -> String {
    let mut out = String::new();
    for comment in comments {
        let mut line = format!("{:indent$}#", "");
        for word in
            comment.split(|c: char| c.is_whitespace() || !is_printable(c)).filter(|word| !word.is_empty())
        {
            if line.chars().count() + word.chars().count() >= WIDTH.max(indent + 40) {
                out.push_str(&(line + "\n"));
                line = format!("{:indent$}#  ", "");
            }
            line.push(' ');
            line.push_str(word);
        }
        out.push_str(&(line + "\n"));
    }
    out
}

/// The maximum width of a comment.
const WIDTH: usize = 110;

/// A scalar that every parser reads as this string. It is plain only if no version of YAML reads another type.
pub(super) fn scalar(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().is_some_and(|c| c.is_ascii_alphabetic() || matches!(c, '/' | '_' | '.'));
    let last = text.chars().last().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == '/');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '@' | '+');
    // `https://host` is plain, because only a colon before a space ends a key.
    let inner = text.replace("://", "//");
    let typed = TYPED.iter().any(|word| text.eq_ignore_ascii_case(word));
    // `.5`, `._5`, `1e3`, `0x1f`: text that starts like a number is quoted, except durations.
    let number = text.trim_start_matches(['.', '_']).starts_with(|c: char| c.is_ascii_digit());
    let named = first && !number && last && inner.chars().all(plain) && !typed;
    if named || is_duration(text) || is_uuid(text) { text.to_owned() } else { quoted(text) }
}

const TYPED: [&str; 13] =
    ["y", "n", "yes", "no", "on", "off", "true", "false", "null", ".inf", ".nan", "inf", "nan"];

/// Whether a text is a duration such as `90s` or `1h30m`, which no parser reads as a number.
fn is_duration(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text.ends_with(['s', 'm', 'h'])
        && text.chars().all(|c| c.is_ascii_digit() || matches!(c, 's' | 'm' | 'h'))
}

/// Whether a text is a UUID, which no parser reads as a number.
fn is_uuid(text: &str) -> bool {
    let groups = text.split('-').map(str::len).collect::<Vec<_>>();
    groups == [8, 4, 4, 4, 12] && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

/// A scalar like [`scalar`], in single quotes if it has double quotes.
pub(super) fn single_quoted(text: &str) -> String {
    let is_simple = text.contains('"') && !text.contains('\'') && text.chars().all(is_printable);
    if is_simple { format!("'{text}'") } else { scalar(text) }
}

/// The text in double quotes, with escapes that JSON also has.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if is_printable(c) => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
    out
}

/// Whether YAML allows a character without an escape, and it is not a line break.
fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// Whether a text can be a block: every line ends with a line feed, and the first is not indented.
fn is_block(text: &str) -> bool {
    let Some(body) = text.strip_suffix('\n') else { return false };
    !body.is_empty()
        && !body.starts_with([' ', '\n'])
        && !body.ends_with('\n')
        && body.chars().all(|c| c == '\n' || is_printable(c))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value as Json;

    use super::*;
    use crate::yaml::{self, Budget, Node, Value};

    fn read(text: &str) -> Node {
        yaml::parse(text, &mut Budget::default()).unwrap().unwrap()
    }

    /// The JSON of a tree.
    fn json(tree: &Tree) -> Json {
        match tree {
            Tree::Text(text) | Tree::Block(text) => text.as_str().into(),
            Tree::True => true.into(),
            Tree::List(items) => items.iter().map(json).collect(),
            Tree::Map(entries) => entries.iter().map(|(key, value)| (key.clone(), json(value))).collect(),
            Tree::Commented(_, tree) => json(tree),
        }
    }

    fn read_json(node: &Node) -> Json {
        match &node.value {
            Value::Scalar(scalar) if scalar.source == "true" && scalar.style == yaml::ScalarStyle::Plain => {
                true.into()
            }
            Value::Scalar(scalar) => {
                assert_eq!(scalar.other_type(), None, "{scalar:?}");
                scalar.text().into()
            }
            Value::Sequence(items) => items.iter().map(read_json).collect(),
            Value::Mapping(entries) => {
                entries.iter().map(|entry| (entry.key.clone(), read_json(&entry.value))).collect()
            }
        }
    }

    fn typed(text: &str) -> Json {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn text_that_looks_like_another_type_is_quoted() {
        for text in [
            "",
            "0755",
            "007",
            "1e3",
            "0x1f",
            "1_000",
            "12:30:00",
            "2001-01-01",
            ".5",
            "~",
            "null",
            "Yes",
            "on",
            "n",
            "true",
            "- a",
            "a: b",
            "a #b",
            "#a",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a",
            "'a",
            "{a",
            "[a",
            "a,",
            "|",
            ">",
            "?",
            "-",
            "a:",
            " a",
            "a ",
            "=",
            "<<",
            "1e-",
            "a\nb",
            "0h_",
            "1d",
        ] {
            assert!(scalar(text).starts_with('"'), "{text:?}");
            assert_eq!(typed(&format!("k: {}\n", scalar(text)))["k"], text, "{text:?}");
        }
        for text in
            ["db-password", "kubernetes.io/tls", "myKeyVault", "https://a.b/", "1h", "1h30m0s", "/mnt/a"]
        {
            assert_eq!(scalar(text), text);
        }
    }

    #[test]
    fn long_comments_are_wrapped_and_stay_comments() {
        let comments = vec!["word ".repeat(60) + "end\nobjects: [evil]\u{85}evil: 1\u{2028}evil: 2"];
        let lines = comment_lines(&comments, 4);
        assert!(lines.lines().count() > 2 && lines.lines().all(|line| line.starts_with("    #")), "{lines}");
        assert!(lines.lines().all(|line| line.len() <= 112));
        assert!(lines.contains("evil: 2"));
    }

    fn trees() -> impl Strategy<Value = Tree> {
        let text = prop_oneof!["[-a-z0-9:#.\\[{,'\" ~|>&*!%@`\n\t\\\\]{0,12}", "\\PC{0,8}", any::<String>()];
        let leaf = prop_oneof![
            text.clone().prop_map(Tree::Text),
            text.clone().prop_map(Tree::Block),
            "([a-z:#-][a-z #:-]{0,5}\n){1,4}".prop_map(Tree::Block),
            Just(Tree::True)
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            let comments = proptest::collection::vec("\\PC{0,30}", 1..3);
            let key = text.clone().prop_filter("a merge", |key| key != "<<");
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Tree::List),
                proptest::collection::btree_map(key, inner.clone(), 0..4)
                    .prop_map(|entries| Tree::Map(entries.into_iter().collect())),
                (comments, inner).prop_map(|(comments, tree)| tree.commented(comments)),
            ]
        })
    }

    proptest! {
        #[test]
        fn written_values_are_read_back_unchanged(tree in trees()) {
            let root = Tree::map([("root", tree)]);
            let block = root.lines(0);
            prop_assert_eq!(read_json(&read(&block)), json(&root), "{}", block);
            prop_assert_eq!(typed(&block), json(&root), "{}", block);
            let flow = root.flow();
            prop_assert_eq!(read_json(&read(&flow)), json(&root), "{}", flow);
            prop_assert_eq!(serde_json::from_str::<Json>(&flow).unwrap(), json(&root), "{}", flow);
        }
    }
}
