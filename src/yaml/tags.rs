//! What a tag makes of a scalar, for Go's YAML parser.

use std::borrow::Cow;

use saphyr_parser::{ScalarStyle, Tag};

use crate::base64;

/// Why a scalar is not what its tag says.
pub(super) struct Mistagged {
    pub(super) problem: &'static str,
    pub(super) help: &'static str,
}

/// The text of a scalar, and how it counts as quoted. A plain one with a tag counts as quoted, since its type is settled;
/// `!` settles nothing.
pub(super) fn applied<'text>(
    text: Cow<'text, str>,
    style: ScalarStyle,
    tag: Option<&Tag>,
) -> Result<(Cow<'text, str>, ScalarStyle), Mistagged> {
    let Some(Tag { handle, suffix }) = tag else { return Ok((text, style)) };
    let is_plain = style == ScalarStyle::Plain;
    match format!("{handle}{suffix}").as_str() {
        "!" => Ok((text, style)),
        "tag:yaml.org,2002:null" if matches!(&*text, "" | "~" | "null" | "Null" | "NULL") => {
            Ok((text, ScalarStyle::Plain))
        }
        "tag:yaml.org,2002:merge" if text == super::MERGE => Ok((text, ScalarStyle::Plain)),
        "tag:yaml.org,2002:binary" => {
            let wrong =
                |problem| Mistagged { problem, help: "correct it, or write the text without `!!binary`" };
            let bytes = base64::decode(text.as_bytes()).ok_or_else(|| wrong("`!!binary` is not base64"))?;
            let text = String::from_utf8(bytes.into_exposed())
                .map_err(|_| wrong("`!!binary` is base64 of bytes that are not UTF-8 text"))?;
            Ok((Cow::Owned(text), ScalarStyle::DoubleQuoted))
        }
        _ if is_plain => Ok((text, ScalarStyle::DoubleQuoted)),
        _ => Ok((text, style)),
    }
}
