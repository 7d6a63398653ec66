//! Converts text that Go's YAML parser and `saphyr-parser` read differently.
//!
//! Go's parser reads YAML 1.1, in which NEL, LS and PS (U+0085, U+2028, U+2029) end a line, and it ignores the text after
//! the marker that ends the first document.

use std::borrow::Cow;

use saphyr_parser::Marker;

use super::Position;

/// A text in which a line feed replaces each line break of YAML 1.1, and the original lines.
pub(super) struct GoText<'text> {
    pub(super) text: Cow<'text, str>,
    pub(super) lines: LineStarts,
}

/// The starts of the original lines, in characters; empty if the parser sees the same lines.
#[derive(Default)]
pub(super) struct LineStarts(Vec<usize>);

impl<'text> GoText<'text> {
    pub(super) fn of(text: &'text str) -> Self {
        let text = up_to_document_end(text);
        if !text.contains(is_old_break) {
            return Self { text: Cow::Borrowed(text), lines: LineStarts::default() };
        }
        let ends = text.chars().enumerate().filter(|(_, character)| *character == '\n').map(|(at, _)| at + 1);
        let lines = LineStarts([0].into_iter().chain(ends).collect());
        Self { text: Cow::Owned(text.replace(is_old_break, "\n")), lines }
    }
}

impl LineStarts {
    /// The position in the original text of a marker of the parser.
    pub(super) fn position(&self, marker: Marker) -> Position {
        let before = self.0.partition_point(|start| *start <= marker.index());
        match before.checked_sub(1).and_then(|line| self.0.get(line)) {
            Some(start) => Position { line: before, column: marker.index() - start + 1 },
            None => Position { line: marker.line().max(1), column: marker.col() + 1 },
        }
    }
}

/// Whether a character ends a line in YAML 1.1, but not in 1.2.
pub(super) fn is_old_break(character: char) -> bool {
    matches!(character, '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// The text up to a `...`: `saphyr-parser` rejects some texts after it, which Go's parser ignores.
fn up_to_document_end(text: &str) -> &str {
    let mut start = 0;
    for line in text.split_inclusive(|character| character == '\n' || is_old_break(character)) {
        let is_marker = line
            .strip_prefix("...")
            .is_some_and(|rest| rest.starts_with([' ', '\t', '\r', '\n']) || rest.starts_with(is_old_break));
        if is_marker && start > 0 {
            return text.get(..start + "...".len()).unwrap_or(text);
        }
        start += line.len();
    }
    text
}
