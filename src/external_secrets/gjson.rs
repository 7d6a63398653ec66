//! `remoteRef.property`: the paths of gjson, which the operator uses, as `JMESPath`.

use crate::plan::JmesPath;

/// Array indexes in one path. Each may also be the key of an object, which doubles the alternatives.
const MOST_INDEXES: usize = 2;

/// A name between two dots.
struct Component {
    name: String,
    /// The index, if the name is one.
    index: Option<u16>,
}

/// Converts a path. Where the operator tries another path next, the result tries it too: a path with dots may also be
/// one key, and an array index may also be a key.
///
/// # Errors
/// What cannot be expressed.
pub(super) fn jmes_path(property: &str) -> Result<String, String> {
    let components = components(property)?;
    if components.iter().filter(|component| component.index.is_some()).count() > MOST_INDEXES {
        return Err(format!("more than {MOST_INDEXES} array indexes"));
    }
    let mut paths = vec![String::new()];
    for component in &components {
        let with = |path: &String, step: String, dot: &str| {
            let dot = if path.is_empty() { "" } else { dot };
            format!("{path}{dot}{step}")
        };
        let indexed = component
            .index
            .into_iter()
            .flat_map(|index| paths.iter().map(move |path| with(path, format!("[{index}]"), "")));
        let named = paths.iter().map(|path| with(path, key(&component.name), "."));
        paths = indexed.chain(named).collect();
    }
    // Dots that are escaped do not separate names, and then the operator looks for no other key.
    if components.len() > 1 && !property.contains('\\') {
        paths.push(key(property));
    }
    let path = match paths.as_slice() {
        [path] => path.clone(),
        // Unlike `||`, it accepts a value that is false or empty.
        _ => format!("not_null({})", paths.join(", ")),
    };
    match JmesPath::parse(&path) {
        Ok(_) => Ok(path),
        Err(_) => Err("a path of this length".to_owned()),
    }
}

/// The key of an object, as `JMESPath`.
pub(super) fn key(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { name.to_owned() } else { serde_json::Value::from(name).to_string() }
}

fn components(property: &str) -> Result<Vec<Component>, String> {
    let mut components = Vec::new();
    let mut name = String::new();
    let mut is_escaped = false;
    let mut letters = property.chars();
    loop {
        match letters.next() {
            Some('\\') => {
                is_escaped = true;
                name.push(letters.next().ok_or("a \\ at the end")?);
            }
            Some(letter @ ('|' | '*' | '?' | '#')) => return Err(format!("the character {letter}")),
            Some(letter @ ('@' | '!' | '{' | '[')) if name.is_empty() && !is_escaped => {
                return Err(format!("a name that starts with {letter}"));
            }
            letter @ (Some('.') | None) => {
                if name.is_empty() {
                    return Err("an empty name".to_owned());
                }
                let is_number = !is_escaped && name.bytes().all(|byte| byte.is_ascii_digit());
                let index = if is_number { name.parse().ok() } else { None };
                components.push(Component { name: std::mem::take(&mut name), index });
                is_escaped = false;
                if letter.is_none() {
                    return Ok(components);
                }
            }
            Some(letter) => name.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_names_and_indexes_is_jmes_path() {
        for (property, path) in [
            ("password", "password"),
            ("db-password", "\"db-password\""),
            ("db.password", "not_null(db.password, \"db.password\")"),
            ("a.b c", "not_null(a.\"b c\", \"a.b c\")"),
            ("a.0", "not_null(a[0], a.\"0\", \"a.0\")"),
            ("0", "not_null([0], \"0\")"),
            ("a.0.b", "not_null(a[0].b, a.\"0\".b, \"a.0.b\")"),
            ("smtp\\.host", "\"smtp.host\""),
            ("a.smtp\\.host", "a.\"smtp.host\""),
            ("\\*", "\"*\""),
            ("user@host", "\"user@host\""),
            ("ü\"x", "\"ü\\\"x\""),
        ] {
            assert_eq!(jmes_path(property).as_deref(), Ok(path), "{property}");
        }
        assert_eq!(jmes_path("a.0.1").unwrap().matches(", ").count(), 4);
    }

    #[test]
    fn what_has_no_equal_is_named() {
        for (property, what) in [
            ("users.#.name", "the character #"),
            ("users.#(admin==true).name", "the character #"),
            ("a*", "the character *"),
            ("a?", "the character ?"),
            ("a|b", "the character |"),
            ("@reverse", "a name that starts with @"),
            ("a.@this", "a name that starts with @"),
            ("{a,b}", "a name that starts with {"),
            ("[a,b]", "a name that starts with ["),
            ("!\"x\"", "a name that starts with !"),
            ("a..b", "an empty name"),
            (".a", "an empty name"),
            ("a.", "an empty name"),
            ("a\\", "a \\ at the end"),
            ("0.1.2", "more than 2 array indexes"),
        ] {
            assert_eq!(jmes_path(property), Err(what.to_owned()), "{property}");
        }
        assert!(jmes_path(&"a".repeat(2000)).is_err());
    }
}
