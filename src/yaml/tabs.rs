//! Tabs between a key's colon and its value.
//!
//! YAML 1.2 allows them (production `s-separate-in-line`), and Go's parser reads them; `saphyr-parser` 0.3 refuses a tab
//! there if a letter or a hyphen follows (its `fetch_value`).

use std::borrow::Cow;
use std::ops::Range;

use super::{Budget, Position, YamlError};

/// Reads `text`, whose first line has the number `first_line`. Where the parser stops behind the tabs after a colon, they
/// become as many spaces, and the text is read again, so that all positions stay what they are. Each reading is paid for
/// from the budget.
pub(super) fn tolerating<T>(
    text: &str,
    first_line: usize,
    budget: &mut Budget,
    read: impl Fn(&str, &mut Budget) -> Result<T, YamlError>,
) -> Result<T, YamlError> {
    let mut text = Cow::Borrowed(text);
    loop {
        let error = match read(&text, budget) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let Some(blank) = blank_after_colon(&text, first_line, error.position) else { return Err(error) };
        let spaces = " ".repeat(blank.len());
        text.to_mut().replace_range(blank, &spaces);
    }
}

/// The bytes between a colon and `position`, if these are spaces and tabs, one tab at least.
fn blank_after_colon(text: &str, first_line: usize, position: Position) -> Option<Range<usize>> {
    let line = text.split_inclusive('\n').nth(position.line.checked_sub(first_line)?)?;
    let start = line.as_ptr().addr() - text.as_ptr().addr();
    let before = line.char_indices().nth(position.column - 1).map_or(line, |(at, _)| line.split_at(at).0);
    let key = before.trim_end_matches([' ', '\t']);
    let is_separated = key.ends_with(':') && before[key.len()..].contains('\t');
    is_separated.then(|| start + key.len()..start + before.len())
}
