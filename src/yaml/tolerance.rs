//! Accepts text that `saphyr-parser` 0.3 rejects and Go's parser accepts. If the parser stops at such text, the text is
//! replaced with an equivalent, and parsed again.

use std::ops::Range;

use super::go_text::is_old_break;
use super::{Budget, Position, YamlError};

/// A range of bytes, and the text that replaces it.
type Replacement = (Range<usize>, String);

/// The error at which the parser stopped.
pub(super) struct ParseStop<'a> {
    /// The offset in the text.
    at: usize,
    problem: &'a str,
}

/// Returns the replacement for the text at which the parser stopped, if this tolerance applies.
pub(super) type Tolerance = fn(&str, &ParseStop<'_>) -> Option<Replacement>;

/// The tolerances for every text.
pub(super) const ANYWHERE: &[Tolerance] = &[tabs_after_colon];

/// The tolerances for `objects`. The last two may move the text on the changed lines.
pub(super) const IN_OBJECTS: &[Tolerance] =
    &[tabs_after_colon, adjacent_comment, extra_bracket, shallow_brackets, shallow_quotation];

/// Parses `text`, whose first line has the number `first_line`. Each attempt spends the budget.
pub(super) fn tolerating<T>(
    text: &str,
    first_line: usize,
    tolerances: &[Tolerance],
    budget: &mut Budget,
    read: impl Fn(&str, &mut Budget) -> Result<T, YamlError>,
) -> Result<T, YamlError> {
    let mut changed = None;
    loop {
        let text = changed.as_deref().unwrap_or(text);
        let error = match read(text, budget) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let change = at(text, first_line, error.position).and_then(|at| {
            let stop = ParseStop { at, problem: &error.problem };
            tolerances.iter().find_map(|tolerance| tolerance(text, &stop))
        });
        let Some((range, with)) = change else { return Err(error) };
        let mut next = text.to_owned();
        next.replace_range(range, &with);
        changed = Some(next);
    }
}

fn is_line_end(character: char) -> bool {
    character == '\n' || is_old_break(character)
}

/// The offset of a position.
fn at(text: &str, first_line: usize, position: Position) -> Option<usize> {
    let line = text.split_inclusive('\n').nth(position.line.checked_sub(first_line)?)?;
    let start = line.as_ptr().addr() - text.as_ptr().addr();
    let before = line.char_indices().nth(position.column - 1).map_or(line.len(), |(at, _)| at);
    Some(start + before)
}

/// YAML 1.2 allows tabs between a key's colon and its value (production `s-separate-in-line`); the parser rejects a tab
/// there if a letter or a hyphen follows (its `fetch_value`). The same number of spaces moves no text.
fn tabs_after_colon(text: &str, &ParseStop { at, .. }: &ParseStop<'_>) -> Option<Replacement> {
    let line = text.get(..at)?.rsplit(is_line_end).next()?;
    let key = line.trim_end_matches([' ', '\t']);
    let blank = line.get(key.len()..)?;
    let is_separated = key.ends_with(':') && blank.contains('\t');
    is_separated.then(|| (at - blank.len()..at, " ".repeat(blank.len())))
}

/// A comment directly after a quote or a bracket. Its removal moves no text.
fn adjacent_comment(text: &str, &ParseStop { at, .. }: &ParseStop<'_>) -> Option<Replacement> {
    let (before, rest) = text.split_at_checked(at)?;
    if !rest.starts_with('#') || !before.ends_with(['"', '\'', ']', '}', '[', '{', ',']) {
        return None;
    }
    let comment = rest.split(|character| character == '\r' || is_line_end(character)).next()?;
    Some((at..at + comment.len(), String::new()))
}

/// An extra closing bracket after a document in flow style. The text after it is ignored.
fn extra_bracket(text: &str, &ParseStop { at, .. }: &ParseStop<'_>) -> Option<Replacement> {
    let is_closed = text.get(..at)?.trim_end().ends_with(['}', ']']);
    let mut words = text.split_whitespace().filter(|word| *word != "---" && !word.starts_with(['!', '&']));
    let is_flow = words.next().is_some_and(|word| word.starts_with(['{', '[']));
    (is_flow && is_closed && text.get(at..)?.starts_with(['}', ']'])).then(|| (at..text.len(), String::new()))
}

/// An indentation that is deeper than that of any mapping.
const DEEP: usize = 64;

/// A line inside of brackets that is not indented deeper than the mapping around them. Outside of brackets more
/// indentation would change the meaning, and only the message of the parser tells which case it is.
fn shallow_brackets(text: &str, stop: &ParseStop<'_>) -> Option<Replacement> {
    let indentation = text.get(..stop.at)?.rsplit(is_line_end).next()?;
    let is_first = indentation.len() < DEEP && indentation.bytes().all(|byte| byte == b' ');
    let is_inside = stop.problem.ends_with("invalid indentation")
        || stop.problem.ends_with("invalid indentation in flow construct");
    (is_first && is_inside).then(|| (stop.at..stop.at, " ".repeat(DEEP)))
}

/// A quoted text whose further lines are not indented deeper than the mapping around it. White space at the start of
/// such a line is not part of the text.
fn shallow_quotation(text: &str, &ParseStop { at, .. }: &ParseStop<'_>) -> Option<Replacement> {
    let quotation = quotation(text.get(at..)?)?;
    let column = text.get(..at)?.rsplit(is_line_end).next()?.chars().count();
    let mut lines = quotation.split_inclusive(is_line_end);
    let mut deeper = lines.next()?.to_owned();
    for line in lines {
        let indentation = line.len() - line.trim_start_matches([' ', '\t']).len();
        let is_marker = ["---", "..."].iter().any(|marker| line.starts_with(marker));
        if is_marker {
            return None;
        }
        if indentation < column {
            deeper.push_str(&" ".repeat(column));
        }
        deeper.push_str(line);
    }
    (deeper != quotation).then(|| (at..at + quotation.len(), deeper))
}

/// The quoted text at the start of `text`, with its quotes.
fn quotation(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|first| matches!(first, '"' | '\''))?;
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' if quote == '"' => _ = characters.next(),
            '\'' if quote == '\'' && characters.peek().is_some_and(|(_, next)| *next == '\'') => {
                _ = characters.next();
            }
            _ if character == quote => return text.get(..=at),
            _ => {}
        }
    }
    None
}
