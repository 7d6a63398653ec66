//! Applies the tag of a scalar, as Go's YAML parser does.

use std::borrow::Cow;

use saphyr_parser::{ScalarStyle, Tag};

use crate::base64;

/// Why a scalar does not match its tag.
pub(super) struct TagError {
    pub(super) problem: &'static str,
    pub(super) help: &'static str,
}

/// The text and the style of a scalar after its tag is applied. A plain scalar with a tag counts as quoted, because the
/// tag sets its type; the tag `!` has no effect.
pub(super) fn applied<'text>(
    text: Cow<'text, str>,
    style: ScalarStyle,
    tag: Option<&Tag>,
) -> Result<(Cow<'text, str>, ScalarStyle), TagError> {
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
                |problem| TagError { problem, help: "correct it, or write the text without `!!binary`" };
            let bytes =
                base64::decode(text.as_bytes()).ok_or_else(|| wrong("the `!!binary` value is not base64"))?;
            let text = String::from_utf8(bytes.into_exposed())
                .map_err(|_| wrong("the `!!binary` value does not decode to UTF-8 text"))?;
            Ok((Cow::Owned(text), ScalarStyle::DoubleQuoted))
        }
        _ if is_plain => Ok((text, ScalarStyle::DoubleQuoted)),
        _ => Ok((text, style)),
    }
}
