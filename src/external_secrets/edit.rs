//! Edits the text of a document, and leaves the rest of the text unchanged.

use std::ops::Range;

use super::write::{Tree, comment_lines};
use crate::yaml::{Entry, Node, Position, Value};

/// Why a text cannot be edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EditError {
    /// The part to change is an alias or a merge, or has an anchor that aliases may repeat.
    Aliased,
    /// The part to change has a style that the editor does not support.
    Style,
}

impl Entry {
    /// Whether the entry and its value are written in this mapping. The text of an alias or a merge is before the
    /// mapping, or inside of another entry.
    pub(super) fn is_written_in(&self, mapping: &Node) -> bool {
        let inside = |other: &Self| other.position < self.position && self.position < other.value.end;
        self.position >= mapping.position
            && self.value.position >= self.position
            && !mapping.entries().iter().any(inside)
    }
}

/// Whether a node below this one is an alias or a merge.
pub(super) fn has_aliases(node: &Node) -> bool {
    match &node.value {
        Value::Scalar(_) => false,
        Value::Sequence(items) => items.iter().any(|item| item.position < node.position || has_aliases(item)),
        Value::Mapping(entries) => {
            entries.iter().any(|entry| !entry.is_written_in(node) || has_aliases(&entry.value))
        }
    }
}

/// A text, and the edits to make.
#[derive(Debug)]
pub(super) struct Editor<'a> {
    text: &'a str,
    first_line: usize,
    /// Where each line starts.
    lines: Vec<usize>,
    edits: Vec<(Range<usize>, String)>,
}

impl<'a> Editor<'a> {
    /// `first_line` is the number of the first line of the text in its file.
    pub(super) fn new(text: &'a str, first_line: usize) -> Self {
        let breaks = text.match_indices('\n').map(|(index, _)| index + 1);
        Self { text, first_line, lines: std::iter::once(0).chain(breaks).collect(), edits: Vec::new() }
    }

    /// The offset of a position.
    pub(super) fn offset(&self, position: Position) -> usize {
        let line = self.line_start(position);
        let rest = self.text.get(line..).unwrap_or_default();
        // A byte order mark takes no column.
        let mark = if rest.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let rest = rest.get(mark..).unwrap_or_default();
        let inside = rest.char_indices().nth(position.column - 1).map_or(rest.len(), |(index, _)| index);
        line + mark + inside
    }

    /// The offset of a position's line.
    pub(super) fn line_start(&self, position: Position) -> usize {
        let line = position.line.saturating_sub(self.first_line);
        self.lines.get(line).copied().unwrap_or(self.text.len())
    }

    /// The offset after the line in which a node ends. A node that ends in column 1 does not include that line.
    pub(super) fn line_end(&self, end: Position) -> usize {
        if end.column == 1 && end.line > self.first_line {
            return self.line_start(end);
        }
        let next = end.line.saturating_sub(self.first_line) + 1;
        self.lines.get(next).copied().unwrap_or(self.text.len())
    }

    /// Whether a node has the flow style, as in JSON.
    pub(super) fn is_flow(&self, node: &Node) -> Result<bool, EditError> {
        let bracket = match &node.value {
            Value::Mapping(_) => '{',
            // If a list is not indented below its key, the parser reports the position of its first item, which may
            // have brackets.
            Value::Sequence(items) if items.first().is_some_and(|first| first.position == node.position) => {
                return Ok(false);
            }
            Value::Sequence(_) => '[',
            Value::Scalar(_) => return Ok(false),
        };
        let text = self.text.get(self.offset(node.position)..).unwrap_or_default();
        // Skip a tag.
        let text = match text.strip_prefix('!') {
            Some(tag) => tag.trim_start_matches(|c: char| !c.is_whitespace()).trim_start(),
            None => text,
        };
        match text.chars().next() {
            Some('&') => Err(EditError::Aliased),
            None => Err(EditError::Style),
            Some(first) => Ok(first == bracket),
        }
    }

    /// Replaces an entry with another key and value. Its comments move above the first of the new values.
    pub(super) fn replace(
        &mut self,
        mapping: &Node,
        entry: &Entry,
        key: &str,
        mut value: Vec<(String, Tree)>,
    ) -> Result<(), EditError> {
        let range = self.range(mapping, entry)?;
        let kept = comments(self.text.get(range.clone()).unwrap_or_default());
        if let Some((_, first)) = value.first_mut() {
            *first = first.clone().commented(kept);
        }
        self.write(mapping, range, key, Tree::Map(value))
    }

    /// Sets a key of a mapping.
    pub(super) fn set(&mut self, mapping: &Node, key: &str, value: Tree) -> Result<(), EditError> {
        match mapping.entry(key) {
            Some(entry) => {
                let range = self.range(mapping, entry)?;
                self.write(mapping, range, key, value)
            }
            None => self.insert(mapping, key, value),
        }
    }

    /// Appends to the list under a key of a mapping; adds the key if it is missing.
    pub(super) fn append(&mut self, mapping: &Node, key: &str, items: Vec<Tree>) -> Result<(), EditError> {
        let Some(entry) = mapping.entry(key) else { return self.insert(mapping, key, Tree::List(items)) };
        let range = self.range(mapping, entry)?;
        let Some(first) = entry.value.items().first() else {
            return self.write(mapping, range, key, Tree::List(items));
        };
        if self.is_flow(&entry.value)? {
            let end = self.offset(entry.value.end).saturating_sub(1);
            let items = items.iter().map(Tree::flow).collect::<Vec<_>>().join(", ");
            let last = entry.value.items().last().map_or(entry.value.position, |item| item.end);
            let comma = if self.has_comma(last, end) { " " } else { ", " };
            self.edits.push((end..end, format!("{comma}{items}")));
            return Ok(());
        }
        if first.position < entry.value.position {
            return Err(EditError::Aliased);
        }
        let indent = self.dash(first).ok_or(EditError::Style)?;
        self.insert_lines(entry.value.end, &Tree::List(items).lines(indent));
        Ok(())
    }

    /// The indentation of the dash of an item.
    fn dash(&self, item: &Node) -> Option<usize> {
        let mut before = self.text.get(..self.offset(item.position))?;
        loop {
            let start = before.rfind('\n').map_or(0, |index| index + 1);
            let line = before.get(start..)?;
            // There may be only comments between the dash and its item.
            let bare = line.split_once('#').map_or(line, |(bare, _)| bare).trim_end();
            if let Some(indent) = bare.strip_suffix('-').filter(|indent| indent.trim().is_empty()) {
                return Some(indent.chars().count());
            }
            if !bare.is_empty() || start == 0 {
                return None;
            }
            before = before.get(..start - 1)?;
        }
    }

    /// Whether the last item of a flow collection has a trailing comma.
    fn has_comma(&self, last: Position, end: usize) -> bool {
        let rest = self.text.get(self.offset(last)..end).unwrap_or_default();
        rest.lines().any(|line| line.split_once('#').map_or(line, |(bare, _)| bare).contains(','))
    }

    /// Adds comments above the line of a position.
    pub(super) fn comment(&mut self, at: Position, comments: &[String]) {
        let start = self.line_start(at);
        let line = self.text.get(start..).unwrap_or_default();
        let indent = line.len() - line.trim_start_matches(' ').len();
        self.edits.push((start..start, comment_lines(comments, indent)));
    }

    /// The edited text; `None` if there are no edits.
    pub(super) fn finish(mut self) -> Option<String> {
        if self.edits.is_empty() {
            return None;
        }
        // The sort is stable: insertions at one place keep their order.
        self.edits.sort_by_key(|(range, _)| (range.start, range.end));
        let windows = self.text.contains("\r\n");
        let (mut out, mut done) = (String::new(), 0);
        for (range, new) in &self.edits {
            out.push_str(self.text.get(done..range.start).unwrap_or_default());
            out.push_str(&if windows { new.replace('\n', "\r\n") } else { new.clone() });
            done = range.end;
        }
        out.push_str(self.text.get(done..).unwrap_or_default());
        Some(out)
    }

    /// The range of an entry that is written in this mapping.
    fn range(&self, mapping: &Node, entry: &Entry) -> Result<Range<usize>, EditError> {
        if !entry.is_written_in(mapping) {
            return Err(EditError::Aliased);
        }
        let start = self.offset(entry.position);
        let mut end = self.offset(entry.value.end);
        let rest = self.text.get(end..).unwrap_or_default();
        if entry.value.position == entry.position {
            // An empty value ends with its key; the range must include the colon.
            end += rest.find(':').map_or(0, |index| index + 1);
        } else if entry.value.end.column == 1 {
            let text = self.text.get(start..end).unwrap_or_default();
            end = start + text.trim_end_matches(['\r', '\n']).len();
        }
        Ok(start..end)
    }

    fn write(
        &mut self,
        mapping: &Node,
        range: Range<usize>,
        key: &str,
        value: Tree,
    ) -> Result<(), EditError> {
        let tree = Tree::Map(vec![(key.to_owned(), value)]);
        let text = if self.is_flow(mapping)? {
            entries_as_json(&tree)
        } else {
            let line = self.text.get(..range.start).unwrap_or_default();
            let indent = line.chars().rev().take_while(|c| *c != '\n').count();
            tree.lines(indent).trim().to_owned()
        };
        self.edits.push((range, text));
        Ok(())
    }

    /// Adds a key at the end of a mapping.
    fn insert(&mut self, mapping: &Node, key: &str, value: Tree) -> Result<(), EditError> {
        let tree = Tree::Map(vec![(key.to_owned(), value)]);
        if self.is_flow(mapping)? {
            let end = self.offset(mapping.end).saturating_sub(1);
            let inserted = self.edits.iter().any(|(range, _)| *range == (end..end));
            let comma = match mapping.entries().last() {
                _ if inserted => ", ",
                None => "",
                Some(last) if self.has_comma(last.value.end, end) => " ",
                Some(_) => ", ",
            };
            self.edits.push((end..end, format!("{comma}{}", entries_as_json(&tree))));
            return Ok(());
        }
        let here = |entry: &&Entry| entry.position >= mapping.position;
        let indent = mapping.entries().iter().find(here).ok_or(EditError::Aliased)?.position.column - 1;
        self.insert_lines(mapping.end, &tree.lines(indent));
        Ok(())
    }

    fn insert_lines(&mut self, end: Position, lines: &str) {
        let at = self.line_end(end);
        let unfinished = !self.text.get(..at).unwrap_or_default().ends_with('\n');
        // Keep a last line without a line break.
        let text = if unfinished { format!("\n{}", lines.trim_end_matches('\n')) } else { lines.to_owned() };
        self.edits.push((at..at, text));
    }
}

/// A mapping as JSON, without its braces.
fn entries_as_json(tree: &Tree) -> String {
    let flow = tree.flow();
    flow.get(1..flow.len() - 1).unwrap_or_default().to_owned()
}

/// The comments in a text.
pub(super) fn comments(text: &str) -> Vec<String> {
    text.lines().filter_map(comment).map(str::to_owned).collect()
}

/// The comment of a line.
fn comment(line: &str) -> Option<&str> {
    let (mut quote, mut before) = (None, ' ');
    for (index, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') if before.is_whitespace() => {
                return line.get(index + 1..).map(str::trim).filter(|comment| !comment.is_empty());
            }
            (None, '"' | '\'') if !before.is_alphanumeric() => quote = Some(c),
            (Some(open), c) if open == c && before != '\\' => quote = None,
            _ => {}
        }
        before = c;
    }
    None
}

#[cfg(test)]
mod tests;
