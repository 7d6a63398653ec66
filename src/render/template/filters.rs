//! The filters of templates. Each limits the size of its result, and no error quotes a value.

use data_encoding::BASE64;
use minijinja::value::{Serde, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind};

use super::MAX_FILTERED;
use crate::base64;

/// Maximum number of spaces of an indentation.
const MAX_INDENT: usize = 64;

/// Adds the filters that [`crate::plan::FILTERS`] lists.
pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("b64decode", |value: &Value| {
        let decoded = base64::decode(&bytes(value)?).ok_or_else(|| wrong("the value is not base64"))?;
        Ok::<_, Error>(match std::str::from_utf8(decoded.expose()) {
            Ok(text) => Value::from(text),
            Err(_) => Value::from_bytes(decoded.expose().to_vec()),
        })
    });
    environment.add_filter("b64encode", |value: &Value| bounded(BASE64.encode(&bytes(value)?)));
    environment.add_filter(
        "default",
        |value: &Value, other: &Value| {
            if value.is_undefined() { other.clone() } else { value.clone() }
        },
    );
    environment.add_filter("dotenv", |value: &Value| dotenv(&text(value)?));
    environment.add_filter("from_json", |value: &Value| {
        serde_json::from_str::<serde_json::Value>(&text(value)?)
            .map(|value| Value::from(Serde(value)))
            .map_err(|error| {
                wrong(format!("the value is not JSON: line {}, column {}", error.line(), error.column()))
            })
    });
    environment.add_filter("indent", |value: &Value, width: usize| {
        if width > MAX_INDENT {
            return Err(wrong(format!("the indentation has more than {MAX_INDENT} spaces")));
        }
        bounded(text(value)?.replace('\n', &format!("\n{}", " ".repeat(width))))
    });
    environment.add_filter("json", |value: &Value| json(value, &[]));
    environment.add_filter("json_html", |value: &Value| json(value, &['<', '>', '&']));
    environment.add_filter("lower", |value: &Value| bounded(text(value)?.to_lowercase()));
    environment.add_filter("shell", |value: &Value| shell(&text(value)?));
    environment.add_filter("trim", |value: &Value| bounded(text(value)?.trim().to_owned()));
    environment.add_filter("upper", |value: &Value| bounded(text(value)?.to_uppercase()));
    environment.add_filter("urlencode", |value: &Value| {
        let bytes = bytes(value)?;
        bounded(url::form_urlencoded::byte_serialize(&bytes).collect::<String>().replace('+', "%20"))
    });
}

/// JSON with escapes for these characters and for line separators, which are allowed in JSON but not in JavaScript. Go's
/// `encoding/json` has the same escapes.
fn json(value: &Value, escaped: &[char]) -> Result<String, Error> {
    let plain = serde_json::to_string(value).map_err(|_| wrong("the value cannot be written as JSON"))?;
    let mut json = String::with_capacity(plain.len());
    for letter in plain.chars() {
        if escaped.contains(&letter) || matches!(letter, '\u{2028}' | '\u{2029}') {
            json.extend(["\\u", &format!("{:04x}", u32::from(letter))]);
        } else {
            json.push(letter);
        }
    }
    bounded(json)
}

fn wrong(problem: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::BadEscape, problem)
}

fn bounded(text: String) -> Result<String, Error> {
    if text.len() > MAX_FILTERED { Err(wrong("the value is too large")) } else { Ok(text) }
}

fn text(value: &Value) -> Result<String, Error> {
    match (value.kind(), value.as_str()) {
        (_, Some(text)) => Ok(text.to_owned()),
        (ValueKind::Number | ValueKind::Bool, _) => Ok(value.to_string()),
        (ValueKind::Undefined, _) => Err(Error::from(ErrorKind::UndefinedError)),
        _ => Err(wrong("the value is not text")),
    }
}

fn bytes(value: &Value) -> Result<Vec<u8>, Error> {
    match value.as_bytes() {
        Some(bytes) => Ok(bytes.to_vec()),
        None => text(value).map(String::into_bytes),
    }
}

/// Formats a value for a dotenv file. Parsers support different escapes, so this uses as few as possible: plain text, or
/// single quotes, or double quotes with the escapes that godotenv (Go), python-dotenv and dotenvy (Rust) support.
fn dotenv(value: &str) -> Result<String, Error> {
    if value.contains('\0') {
        return Err(wrong("a dotenv file cannot contain the character NUL"));
    }
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_./:@%+,=~-".contains(letter);
    if !value.is_empty() && value.chars().all(is_plain) {
        return Ok(value.to_owned());
    }
    if !value.contains(['\'', '\\', '\n', '\r']) {
        return bounded(format!("'{value}'"));
    }
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('"');
    for letter in value.chars() {
        match letter {
            '"' | '\\' | '$' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    bounded(quoted)
}

/// Formats a value as a word of a POSIX shell, in single quotes.
fn shell(value: &str) -> Result<String, Error> {
    if value.contains('\0') {
        return Err(wrong("a shell word cannot contain the character NUL"));
    }
    bounded(format!("'{}'", value.replace('\'', r"'\''")))
}
