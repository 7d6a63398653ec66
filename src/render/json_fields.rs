//! `jmesPath`: writes fields of a JSON secret as files.

use jmespath::Variable;

use super::error::Problem;
use super::generated::Generated;
use crate::deliver::VolumeFile;
use crate::plan::JsonField;
use crate::secret::SecretBytes;

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
    let document = std::rc::Rc::new(document);
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
        let contents = match found.as_ref() {
            Variable::Null => return Err(Problem::NoJsonField(location())),
            Variable::Expref(_) => return Err(Problem::JsonType(location())),
            Variable::String(text) => generated.take(text.as_bytes()),
            value => {
                let mut limited = generated.begin();
                serde_json::to_writer(&mut limited, value).ok().map(|()| limited.finish())
            }
        };
        let contents = contents.ok_or_else(|| Problem::JsonFieldTooLarge(location()))?;
        files.push(VolumeFile { path: field.path.clone(), mode: field.mode, contents });
    }
    Ok(())
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
