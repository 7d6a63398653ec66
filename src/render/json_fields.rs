//! `jmesPath`: fields of a JSON secret as files.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::rc::Rc;

use jmespath::Variable;

use super::error::Problem;
use crate::deliver::File;
use crate::plan::{FieldFile, JsonField, KeyPattern};
use crate::secret::SecretBytes;

/// Bytes of one field, as it is written. Key Vault's largest secret has 25 kB.
const LARGEST: usize = 1 << 20;
/// Files of one object.
const MOST_FILES: usize = 1000;

/// The files of `fields`, and a warning for each field that is missing where that is allowed.
///
/// # Errors
/// [`Problem`], which never quotes the secret.
pub(super) fn select(
    fields: &[JsonField],
    secret: &SecretBytes,
    optional: bool,
    (files, warnings): (&mut Vec<File>, &mut Vec<String>),
) -> Result<(), Problem> {
    let text =
        std::str::from_utf8(secret.expose()).map_err(|_| Problem::NotJson("it is not UTF-8".to_owned()))?;
    let document = serde_json::from_str::<Variable>(text).map_err(|error| not_json(&error))?;
    let document = Rc::new(document);
    for field in fields {
        let location = || format!("{} ({})", field.location, field.expression.as_str());
        let expression = jmespath::compile(field.expression.as_str());
        let found = expression.and_then(|expression| expression.search(&document));
        // The message of an error may quote a value.
        let found = found.map_err(|_| Problem::JsonType(location()))?;
        if found.is_null() && optional {
            warnings.push(format!("{}: the secret has no such value; its file is left out", location()));
            continue;
        }
        match (&field.file, found.as_ref()) {
            (_, Variable::Null) => return Err(Problem::NoJsonField(location())),
            (_, Variable::Expref(_)) => return Err(Problem::JsonType(location())),
            (FieldFile::One(path), value) => {
                let contents = contents(value).ok_or_else(|| Problem::JsonFieldTooLarge(location(), LARGEST))?;
                files.push(File { path: path.clone(), mode: field.mode, contents });
            }
            (FieldFile::EachKey(pattern), Variable::Object(object)) => {
                select_each(field, pattern, object, &location, files)?;
            }
            (FieldFile::EachKey(_), _) => return Err(Problem::NoJsonObject(location())),
        }
        if files.len() > MOST_FILES {
            return Err(Problem::TooManyJsonFields(location(), MOST_FILES));
        }
    }
    Ok(())
}

/// A file of each key of `object`. A null is an empty file, as with the External Secrets Operator.
fn select_each(
    field: &JsonField,
    pattern: &KeyPattern,
    object: &BTreeMap<String, Rc<Variable>>,
    location: &dyn Fn() -> String,
    files: &mut Vec<File>,
) -> Result<(), Problem> {
    if object.len() > MOST_FILES {
        return Err(Problem::TooManyJsonFields(location(), MOST_FILES));
    }
    for (key, value) in object {
        let path = pattern.path(key).ok_or_else(|| Problem::JsonKey(location()))?;
        let contents = match value.as_ref() {
            Variable::Null => SecretBytes::default(),
            value => contents(value).ok_or_else(|| Problem::JsonFieldTooLarge(location(), LARGEST))?,
        };
        files.push(File { path, mode: field.mode, contents });
    }
    Ok(())
}

/// A string without quotes, all else as JSON. `None` if it is too large.
fn contents(value: &Variable) -> Option<SecretBytes> {
    if let Variable::String(text) = value {
        return Some(SecretBytes::new(text.clone().into_bytes()));
    }
    let mut limited = Limited(Vec::new());
    serde_json::to_writer(&mut limited, value).ok()?;
    Some(SecretBytes::new(limited.0))
}

fn not_json(error: &serde_json::Error) -> Problem {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Io
        | serde_json::error::Category::Syntax
        | serde_json::error::Category::Data => "syntax error",
    };
    Problem::NotJson(format!("{what} at line {}, column {}", error.line(), error.column()))
}

/// Fails beyond [`LARGEST`] bytes.
struct Limited(Vec<u8>);

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LARGEST {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
