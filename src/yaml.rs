//! A YAML parser that keeps the source text and the position of every scalar, with limits on depth and size.
//!
//! Users write `filePermission: 0755` and mean octal, and a secret may be named `007`: a parser that converts
//! scalars to numbers loses this. JSON is parsed as YAML.

mod budget;
mod go_text;
mod merge;
mod resolution;
mod tags;
#[cfg(test)]
mod tests;
mod tolerance;

use std::collections::HashMap;

pub use budget::Budget;
pub use resolution::integer;
pub use saphyr_parser::ScalarStyle;
use saphyr_parser::{Event, Marker, Parser, Span, StrInput};

use go_text::{GoText, LineStarts};
use merge::MergedEntries;

/// The key that merges other mappings.
const MERGE: &str = "<<";

/// A position in a text. Columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
}

/// Text that is not YAML, or exceeds the budget.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {}, column {}: {problem}; {help}", position.line, position.column)]
pub struct YamlError {
    /// The position of the error.
    pub position: Position,
    /// What is wrong.
    pub problem: String,
    /// How to fix it.
    pub help: &'static str,
}

/// A node, and its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The start. For an alias, the start of the anchored node.
    pub position: Position,
    /// The end, after its last character that is not in a comment. For a block scalar, the start of the next line; for
    /// an empty value, the end of its key.
    pub end: Position,
    /// The value.
    pub value: Value,
}

/// The value of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text. Other parsers may read it as another type.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values, in their order. Keys are unique.
    Mapping(Vec<Entry>),
}

/// A scalar, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar {
    /// The text, without quotes, escapes and indentation.
    pub source: String,
    /// The style. A scalar with a tag counts as quoted, because the tag sets its type.
    pub style: ScalarStyle,
    /// The start of the text, if its lines are the same in the file.
    start: Option<Position>,
}

impl Scalar {
    /// The text; empty for a YAML null.
    pub fn text(&self) -> &str {
        let null = self.style == ScalarStyle::Plain
            && matches!(self.source.as_str(), "~" | "null" | "Null" | "NULL");
        if null { "" } else { &self.source }
    }

    /// Converts a position in this text to a position in the file; `None` if escapes or folding moved its characters.
    pub fn locate(&self, inner: Position) -> Option<Position> {
        let start = self.start?;
        Some(Position { line: start.line + inner.line - 1, column: start.column + inner.column - 1 })
    }
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The position of the key.
    pub position: Position,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The name of the kind of value, for messages.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Scalar(_) => "a scalar",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar.text()),
            _ => None,
        }
    }

    /// The keys and values of a mapping; empty for other nodes.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; empty for other nodes.
    pub fn items(&self) -> &[Self] {
        match &self.value {
            Value::Sequence(items) => items,
            _ => &[],
        }
    }

    /// The entry of a mapping with this key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The node at a path of keys.
    pub fn at(&self, keys: &[&str]) -> Option<&Self> {
        keys.iter().try_fold(self, |node, key| node.entry(key).map(|entry| &entry.value))
    }

    /// The number of nodes and text bytes in this node and all nodes below.
    fn weight(&self) -> (usize, usize) {
        let sum = |(nodes, bytes), (more_nodes, more_bytes)| (nodes + more_nodes, bytes + more_bytes);
        match &self.value {
            Value::Scalar(scalar) => (1, scalar.source.len()),
            Value::Sequence(items) => items.iter().map(Self::weight).fold((1, 0), sum),
            Value::Mapping(entries) => {
                entries.iter().map(|entry| sum((1, entry.key.len()), entry.value.weight())).fold((1, 0), sum)
            }
        }
    }
}

/// Parses the first document of `text` as Go's parser does; `None` if there is none. Aliases are expanded.
///
/// # Errors
/// [`YamlError`], if the text is not YAML or exceeds `budget`.
pub fn parse(text: &str, budget: &mut Budget) -> Result<Option<Node>, YamlError> {
    tolerance::tolerating(text, 1, tolerance::IN_OBJECTS, budget, |text, budget| {
        let GoText { text, lines } = GoText::of(text);
        Reader { lines, ..Reader::new(&text, 1, budget)? }.document()
    })
}

/// Parses a part of a file that starts in `first_line` and holds only one document. Positions are those of the file.
///
/// # Errors
/// [`YamlError`], also if another document follows.
pub fn parse_only(text: &str, first_line: usize, budget: &mut Budget) -> Result<Option<Node>, YamlError> {
    tolerance::tolerating(text, first_line, tolerance::ANYWHERE, budget, |text, budget| {
        only_document(text, first_line, budget)
    })
}

fn only_document(text: &str, first_line: usize, budget: &mut Budget) -> Result<Option<Node>, YamlError> {
    let mut reader = Reader::new(text, first_line, budget)?;
    let document = reader.document()?;
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(document),
            (Event::DocumentStart(_), span) => {
                let help = "separate the documents with a line `---`";
                return Err(wrong(reader.position(span), "another document starts here", help));
            }
            _ => {}
        }
    }
}

struct Reader<'text, 'budget> {
    parser: Parser<'text, StrInput<'text>>,
    first_line: usize,
    lines: LineStarts,
    /// The length of the text in characters.
    length: usize,
    /// The end of the last event.
    end: Position,
    anchors: HashMap<usize, Node>,
    budget: &'budget mut Budget,
}

impl<'text, 'budget> Reader<'text, 'budget> {
    fn new(text: &'text str, first_line: usize, budget: &'budget mut Budget) -> Result<Self, YamlError> {
        let start = Position { line: first_line, column: 1 };
        budget.spend(1, text.len(), start)?;
        let parser = Parser::new_from_str(text);
        let length = text.chars().count();
        let lines = LineStarts::default();
        Ok(Self { parser, first_line, lines, length, end: start, anchors: HashMap::new(), budget })
    }

    fn position(&self, span: Span) -> Position {
        self.position_of(span.start)
    }

    fn position_of(&self, marker: Marker) -> Position {
        let position = self.lines.position(marker);
        Position { line: position.line + self.first_line - 1, ..position }
    }

    /// The end of an event; `None` for an event without text.
    fn end_of(&self, event: &Event<'_>, span: Span) -> Option<Position> {
        let (start, end) = (self.position(span), self.position_of(span.end));
        match event {
            _ if span.is_empty() => None,
            // The parser includes the white space up to the next token, if there is one.
            Event::Scalar(_, ScalarStyle::Literal | ScalarStyle::Folded, ..)
                if end.line > start.line && span.end.index() < self.length =>
            {
                Some(Position { column: 1, ..end })
            }
            Event::SequenceEnd | Event::MappingEnd => Some(Position { column: start.column + 1, ..start }),
            Event::Scalar(..) | Event::Alias(_) => Some(end),
            _ => None,
        }
    }

    fn document(&mut self) -> Result<Option<Node>, YamlError> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(None),
                (Event::DocumentStart(_), _) => {
                    let (event, span) = self.next()?;
                    return self.node(event, span, 0).map(Some);
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'text>, Span), YamlError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                self.end = self.end_of(&event, span).unwrap_or(self.end);
                Ok((event, span))
            }
            Some(Err(error)) => {
                let problem = format!("invalid YAML: {}", error.info());
                let help = "correct the indentation, quotes or brackets there";
                Err(wrong(self.position_of(*error.marker()), problem, help))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'text>, span: Span, depth: usize) -> Result<Node, YamlError> {
        let position = self.position(span);
        if depth > self.budget.depth {
            return Err(wrong(position, "nested too deeply", "look for an extra opening bracket"));
        }
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let (start, length) = (text_start(&text, style, span, position), text.len());
                let (text, style) = tags::applied(text, style, tag.as_deref())
                    .map_err(|error| wrong(position, error.problem, error.help))?;
                // A decoded text is shorter, and has no position in the file.
                let start = start.filter(|_| text.len() == length);
                (Value::Scalar(Scalar { source: text.into_owned(), style, start }), anchor)
            }
            Event::SequenceStart(anchor, _) => (self.sequence(depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.mapping(depth)?, anchor),
            Event::Alias(anchor) => {
                let Some(anchored) = self.anchors.get(&anchor) else {
                    return Err(wrong(
                        position,
                        "the alias is inside of its own anchor",
                        "write the value instead of the alias",
                    ));
                };
                // Spend the budget before the copy, so that an alias bomb is never expanded.
                let (nodes, bytes) = anchored.weight();
                self.budget.spend(nodes, bytes, position)?;
                return Ok(anchored.clone());
            }
            _ => return Err(wrong(position, "a value is missing", "complete the document")),
        };
        let bytes = if let Value::Scalar(scalar) = &value { scalar.source.len() } else { 0 };
        self.budget.spend(1, bytes, position)?;
        let node = Node { position, end: self.end, value };
        if anchor > 0 {
            let (nodes, bytes) = node.weight();
            self.budget.spend(nodes, bytes, position)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, YamlError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::Sequence(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, YamlError> {
        let mut entries = MergedEntries::default();
        loop {
            let (event, span) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Value::Mapping(entries.merged())),
                next => next,
            };
            let position = self.position(span);
            let Value::Scalar(key) = self.node(event, span, depth + 1)?.value else {
                return Err(wrong(position, "a key is not text", "write the name of a field"));
            };
            let (event, value_span) = self.next()?;
            // The parser reports a position after the key for an empty value; use that of the key.
            let left_out = value_span.is_empty() && matches!(event, Event::Scalar(..));
            let value_span = if left_out { span } else { value_span };
            let value = self.node(event, value_span, depth + 1)?;
            entries.add(key, position, value)?;
        }
    }
}

/// The start of the text of a scalar, if its lines are the same in the file except for the indentation.
fn text_start(text: &str, style: ScalarStyle, span: Span, start: Position) -> Option<Position> {
    let quotes = match style {
        ScalarStyle::Literal => {
            // The parser reports the first line that is not blank.
            let blank = text.lines().take_while(|line| line.is_empty()).count();
            return Some(Position { line: start.line.checked_sub(blank)?, ..start });
        }
        ScalarStyle::Folded => return None,
        ScalarStyle::Plain => 0,
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => 1,
    };
    // Escapes and folded lines are longer in the file than in the text.
    let as_it_is = span.start.line() == span.end.line() && span.len() == text.chars().count() + 2 * quotes;
    as_it_is.then_some(Position { column: start.column + quotes, ..start })
}

fn wrong(position: Position, problem: impl Into<String>, help: &'static str) -> YamlError {
    YamlError { position, problem: problem.into(), help }
}
