//! Changes of a document's text that leave the rest of it as it was.

use std::ops::Range;

use super::write::{Tree, comment_lines};
use crate::yaml::{MappingEntry, Node, Position, Value};

/// Why a text is not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EditError {
    /// What must change is an alias or a merge of something else, or has an anchor by which others may
    /// repeat it.
    Aliased,
    /// It is written in a style that is not changed here.
    Style,
}

impl MappingEntry {
    /// Whether it is written in this mapping, and its value in it: what an alias or a merge repeats
    /// stands before, or inside of another entry.
    pub(super) fn is_written_in(&self, mapping: &Node) -> bool {
        let inside = |other: &Self| other.position < self.position && self.position < other.value.end;
        self.position >= mapping.position
            && self.value.position >= self.position
            && !mapping.entries().iter().any(inside)
    }
}

/// Whether something below a node is an alias, or a merge, of what is written elsewhere.
pub(super) fn shares(node: &Node) -> bool {
    match &node.value {
        Value::Scalar(_) => false,
        Value::Sequence(items) => items.iter().any(|item| item.position < node.position || shares(item)),
        Value::Mapping(entries) => {
            entries.iter().any(|entry| !entry.is_written_in(node) || shares(&entry.value))
        }
    }
}

/// A text and the changes that are to be made.
#[derive(Debug)]
pub(super) struct Editor<'a> {
    text: &'a str,
    first_line: usize,
    /// Where each line starts.
    lines: Vec<usize>,
    edits: Vec<(Range<usize>, String)>,
}

impl<'a> Editor<'a> {
    /// Of a text whose nodes count lines from `first_line`.
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

    /// The offset behind the line in which something ends; something that ends where a line starts
    /// takes nothing of it.
    pub(super) fn line_end(&self, end: Position) -> usize {
        if end.column == 1 && end.line > self.first_line {
            return self.line_start(end);
        }
        let next = end.line.saturating_sub(self.first_line) + 1;
        self.lines.get(next).copied().unwrap_or(self.text.len())
    }

    /// Whether it is written in brackets, as JSON is.
    pub(super) fn is_flow(&self, node: &Node) -> Result<bool, EditError> {
        let bracket = match &node.value {
            Value::Mapping(_) => '{',
            // Where a list is not indented below its key, the parser has it start with its first item, which
            // may have brackets of its own.
            Value::Sequence(items) if items.first().is_some_and(|first| first.position == node.position) => {
                return Ok(false);
            }
            Value::Sequence(_) => '[',
            Value::Scalar(_) => return Ok(false),
        };
        let text = self.text.get(self.offset(node.position)..).unwrap_or_default();
        // A tag says no more than the brackets do.
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

    /// Puts another key and value in the place of an entry. Comments in it are kept, before the first of
    /// the new values.
    pub(super) fn replace(
        &mut self,
        mapping: &Node,
        entry: &MappingEntry,
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

    /// Appends to the list under a key of a mapping, which need not be there.
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

    /// The indentation of the dash before an item.
    fn dash(&self, item: &Node) -> Option<usize> {
        let mut before = self.text.get(..self.offset(item.position))?;
        loop {
            let start = before.rfind('\n').map_or(0, |index| index + 1);
            let line = before.get(start..)?;
            // Only a comment may stand between the dash and its item.
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

    /// Whether a comma stands behind the last item of something in brackets.
    fn has_comma(&self, last: Position, end: usize) -> bool {
        let rest = self.text.get(self.offset(last)..end).unwrap_or_default();
        rest.lines().any(|line| line.split_once('#').map_or(line, |(bare, _)| bare).contains(','))
    }

    /// Puts comments above the line of something.
    pub(super) fn comment(&mut self, at: Position, comments: &[String]) {
        let start = self.line_start(at);
        let line = self.text.get(start..).unwrap_or_default();
        let indent = line.len() - line.trim_start_matches(' ').len();
        self.edits.push((start..start, comment_lines(comments, indent)));
    }

    /// The text with all changes made; nothing if there are none.
    pub(super) fn finish(mut self) -> Option<String> {
        if self.edits.is_empty() {
            return None;
        }
        // Stable: what is put to one place comes in the order in which it was put.
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

    /// Where an entry stands, if it stands in this mapping.
    fn range(&self, mapping: &Node, entry: &MappingEntry) -> Result<Range<usize>, EditError> {
        if !entry.is_written_in(mapping) {
            return Err(EditError::Aliased);
        }
        let start = self.offset(entry.position);
        let mut end = self.offset(entry.value.end);
        let rest = self.text.get(end..).unwrap_or_default();
        if entry.value.position == entry.position {
            // What is left out ends with its key; the colon belongs to both.
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
            inner(&tree)
        } else {
            let line = self.text.get(..range.start).unwrap_or_default();
            let indent = line.chars().rev().take_while(|c| *c != '\n').count();
            tree.lines(indent).trim().to_owned()
        };
        self.edits.push((range, text));
        Ok(())
    }

    /// Puts a new key behind the last one of a mapping.
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
            self.edits.push((end..end, format!("{comma}{}", inner(&tree))));
            return Ok(());
        }
        let here = |entry: &&MappingEntry| entry.position >= mapping.position;
        let indent = mapping.entries().iter().find(here).ok_or(EditError::Aliased)?.position.column - 1;
        self.insert_lines(mapping.end, &tree.lines(indent));
        Ok(())
    }

    fn insert_lines(&mut self, end: Position, lines: &str) {
        let at = self.line_end(end);
        let unfinished = !self.text.get(..at).unwrap_or_default().ends_with('\n');
        // A last line without a line break stays one.
        let text = if unfinished { format!("\n{}", lines.trim_end_matches('\n')) } else { lines.to_owned() };
        self.edits.push((at..at, text));
    }
}

/// A mapping in JSON without its braces.
fn inner(tree: &Tree) -> String {
    let flow = tree.flow();
    flow.get(1..flow.len() - 1).unwrap_or_default().to_owned()
}

/// The comments of some lines.
pub(super) fn comments(text: &str) -> Vec<String> {
    text.lines().filter_map(comment).map(str::to_owned).collect()
}

/// The comment at the end of a line, or in it alone.
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
