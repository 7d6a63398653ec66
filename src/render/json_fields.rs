//! `jmesPath`: fields of a JSON secret as files.

use std::io::{self, Write};

use jmespath::Variable;

use super::error::Problem;
use crate::deliver::VolumeFile;
use crate::plan::JsonField;
use crate::secret::SecretBytes;

/// Bytes of one field, as it is written. Key Vault's largest secret has 25 kB.
const LARGEST: usize = 1 << 20;

/// The files of `fields`, and a warning for each field that is missing where that is allowed.
///
/// # Errors
/// [`Problem`], which never quotes the secret.
pub(super) fn select(
    fields: &[JsonField],
    secret: &SecretBytes,
    optional: bool,
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
        // The message of an error may quote a value.
        let found = found.map_err(|_| Problem::JsonType(location()))?;
        if found.is_null() && optional {
            warnings.push(format!("{}: the secret has no such value; its file is left out", location()));
            continue;
        }
        let contents = match found.as_ref() {
            Variable::Null => return Err(Problem::NoJsonField(location())),
            Variable::Expref(_) => return Err(Problem::JsonType(location())),
            Variable::String(text) => text.clone().into_bytes(),
            value => {
                let mut limited = Limited(Vec::new());
                serde_json::to_writer(&mut limited, value)
                    .map_err(|_| Problem::JsonFieldTooLarge(location(), LARGEST))?;
                limited.0
            }
        };
        let contents = SecretBytes::new(contents);
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
