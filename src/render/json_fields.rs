//! `jmesPath`: writes fields of a JSON secret as files.

use std::collections::BTreeMap;
use std::rc::Rc;

use jmespath::Variable;

use super::error::Problem;
use super::generated::Generated;
use crate::deliver::VolumeFile;
use crate::plan::{FieldFile, JsonField, KeyPattern};
use crate::secret::SecretBytes;

/// Maximum number of files of one object.
const MAX_FILES: usize = 1000;

/// Adds the files of `fields`, and a warning for each missing field of an optional object.
///
/// # Errors
/// [`Problem`], which does not quote the secret.
pub(super) fn select(
    fields: &[JsonField],
    secret: &SecretBytes,
    optional: bool,
    generated: &mut Generated,
    (files, warnings): (&mut Vec<VolumeFile>, &mut Vec<String>),
) -> Result<(), Problem> {
    let text =
        std::str::from_utf8(secret.expose()).map_err(|_| Problem::NotJson("it is not UTF-8".to_owned()))?;
    let document = serde_json::from_str::<Variable>(text).map_err(|error| not_json(&error))?;
    let document = Rc::new(document);
    for field in fields {
        let location = || format!("{} ({})", field.location, field.expression.as_str());
        let expression = jmespath::compile(field.expression.as_str());
        let found = expression.and_then(|expression| expression.search(&document));
        // The message of the error is not used because it may quote a value.
        let found = found.map_err(|_| Problem::JsonType(location()))?;
        if found.is_null() && optional {
            warnings.push(format!("{}: the secret has no such value; its file is omitted", location()));
            continue;
        }
        match (&field.file, found.as_ref()) {
            (_, Variable::Null) => return Err(Problem::NoJsonField(location())),
            (_, Variable::Expref(_)) => return Err(Problem::JsonType(location())),
            (FieldFile::One(path), value) => {
                let contents =
                    contents(value, generated).ok_or_else(|| Problem::JsonFieldTooLarge(location()))?;
                files.push(VolumeFile { path: path.clone(), mode: field.mode, contents });
            }
            (FieldFile::EachKey(pattern), Variable::Object(object)) => {
                select_each(field, pattern, object, generated, (&location, files))?;
            }
            (FieldFile::EachKey(_), _) => return Err(Problem::NoJsonObject(location())),
        }
        if files.len() > MAX_FILES {
            return Err(Problem::TooManyJsonFields(location(), MAX_FILES));
        }
    }
    Ok(())
}

/// Adds a file for each key of `object`. A null is an empty file, like in the External Secrets Operator.
fn select_each(
    field: &JsonField,
    pattern: &KeyPattern,
    object: &BTreeMap<String, Rc<Variable>>,
    generated: &mut Generated,
    (location, files): (&dyn Fn() -> String, &mut Vec<VolumeFile>),
) -> Result<(), Problem> {
    if object.len() > MAX_FILES {
        return Err(Problem::TooManyJsonFields(location(), MAX_FILES));
    }
    for (key, value) in object {
        let path = pattern.path(key).ok_or_else(|| Problem::JsonKey(location()))?;
        let contents = match value.as_ref() {
            Variable::Null => SecretBytes::default(),
            value => contents(value, generated).ok_or_else(|| Problem::JsonFieldTooLarge(location()))?,
        };
        files.push(VolumeFile { path, mode: field.mode, contents });
    }
    Ok(())
}

/// A string without quotes, any other value as JSON. `None` if it is too large.
fn contents(value: &Variable, generated: &mut Generated) -> Option<SecretBytes> {
    if let Variable::String(text) = value {
        return generated.take(text.as_bytes());
    }
    let mut limited = generated.begin();
    serde_json::to_writer(&mut limited, value).ok().map(|()| limited.finish())
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
