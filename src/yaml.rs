//! YAML with the source text and the place of its scalars kept, bounded in depth and size.
//!
//! People write `filePermission: 0755` and mean octal, and a secret may be named `007`: a parser
//! that makes numbers of scalars has lost what they meant. JSON is read as the YAML that it is.

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

use go_text::{GoText, Lines};
use merge::Entries;

/// The key of what a mapping takes over from others.
const MERGE: &str = "<<";

/// Where something is in a text. Columns are counted in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
}

/// Text that is not YAML, or more of it than is read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {}, column {}: {problem}; {help}", position.line, position.column)]
pub struct YamlError {
    /// Where.
    pub position: Position,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub help: &'static str,
}

/// A node, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it starts. Of an alias, where that stands which it repeats.
    pub position: Position,
    /// Behind its last character that is no comment; of a block of text, where the next line starts;
    /// of what is left out, where its key ends.
    pub end: Position,
    /// What is there.
    pub value: Value,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text, or what other readers make something else of.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values, in their order; no key is there twice.
    Mapping(Vec<Entry>),
}

/// A scalar as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar {
    /// Its text, without quotes, escapes and indentation.
    pub source: String,
    /// How it is quoted. One with a tag counts as quoted, since its type is settled.
    pub style: ScalarStyle,
    /// Where its text starts, if its lines are those of the file.
    start: Option<Position>,
}

impl Scalar {
    /// The text; empty for what YAML takes for null.
    pub fn text(&self) -> &str {
        let null = self.style == ScalarStyle::Plain
            && matches!(self.source.as_str(), "~" | "null" | "Null" | "NULL");
        if null { "" } else { &self.source }
    }

    /// The place in the file of a place in this text; `None` where quotes, escapes or folding have
    /// moved its characters.
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
    /// Where the key is.
    pub position: Position,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// What it is, for a message.
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

    /// The keys and values of a mapping; none of anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none of anything else.
    pub fn items(&self) -> &[Self] {
        match &self.value {
            Value::Sequence(items) => items,
            _ => &[],
        }
    }

    /// The entry of a mapping that has this key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// What lies under these keys, one below the other.
    pub fn at(&self, keys: &[&str]) -> Option<&Self> {
        keys.iter().try_fold(self, |node, key| node.entry(key).map(|entry| &entry.value))
    }

    /// Nodes and text bytes of this node and all below.
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

/// Reads the first document of `text` as Go's parser does; `None` if there is none. What aliases repeat is written out.
///
/// # Errors
/// [`YamlError`], if it is not YAML, or deeper or larger than `budget` allows.
pub fn parse(text: &str, budget: &mut Budget) -> Result<Option<Node>, YamlError> {
    tolerance::tolerating(text, 1, tolerance::IN_OBJECTS, budget, |text, budget| {
        let GoText { text, lines } = GoText::of(text);
        Reader { lines, ..Reader::new(&text, 1, budget)? }.document()
    })
}

/// As [`parse`], of a part of a file that starts in `first_line`, and must hold nothing else.
/// Positions are those of the file.
///
/// # Errors
/// [`YamlError`], also if something follows the document.
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
                let help = "put `---` on a line between the two";
                return Err(wrong(reader.position(span), "another document begins", help));
            }
            _ => {}
        }
    }
}

struct Reader<'text, 'budget> {
    parser: Parser<'text, StrInput<'text>>,
    first_line: usize,
    lines: Lines,
    /// Characters of the text.
    length: usize,
    /// Where that ends which was read last.
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
        let lines = Lines::default();
        Ok(Self { parser, first_line, lines, length, end: start, anchors: HashMap::new(), budget })
    }

    fn position(&self, span: Span) -> Position {
        self.position_of(span.start)
    }

    fn position_of(&self, marker: Marker) -> Position {
        let position = self.lines.position(marker);
        Position { line: position.line + self.first_line - 1, ..position }
    }

    /// Where an event ends; `None` for one that takes no place.
    fn end_of(&self, event: &Event<'_>, span: Span) -> Option<Position> {
        let (start, end) = (self.position(span), self.position_of(span.end));
        match event {
            _ if span.is_empty() => None,
            // The parser counts the white space behind it, up to the next token, if there is one.
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
                let problem = format!("not YAML: {}", error.info());
                let help = "correct the indentation, quotes or brackets there";
                Err(wrong(self.position_of(*error.marker()), problem, help))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'text>, span: Span, depth: usize) -> Result<Node, YamlError> {
        let position = self.position(span);
        if depth > self.budget.depth {
            return Err(wrong(
                position,
                "nested too deeply",
                "nothing needs this depth; look for a stray bracket",
            ));
        }
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let (start, length) = (text_start(&text, style, span, position), text.len());
                let (text, style) = tags::applied(text, style, tag.as_deref())
                    .map_err(|wrongly| wrong(position, wrongly.problem, wrongly.help))?;
                // What is decoded is shorter, and stands nowhere.
                let start = start.filter(|_| text.len() == length);
                (Value::Scalar(Scalar { source: text.into_owned(), style, start }), anchor)
            }
            Event::SequenceStart(anchor, _) => (self.sequence(depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.mapping(depth)?, anchor),
            Event::Alias(anchor) => {
                let Some(anchored) = self.anchors.get(&anchor) else {
                    return Err(wrong(position, "an alias of something unfinished", "write the value out"));
                };
                // Paid for before it is copied: that is what defuses a bomb.
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
        let mut entries = Entries::default();
        loop {
            let (event, span) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Value::Mapping(entries.merged())),
                next => next,
            };
            let position = self.position(span);
            let Value::Scalar(key) = self.node(event, span, depth + 1)?.value else {
                return Err(wrong(position, "a key that is not text", "write a field's name"));
            };
            let (event, value_span) = self.next()?;
            // What is left out stands nowhere, and some way behind its key.
            let left_out = value_span.is_empty() && matches!(event, Event::Scalar(..));
            let value_span = if left_out { span } else { value_span };
            let value = self.node(event, value_span, depth + 1)?;
            entries.add(key, position, value)?;
        }
    }
}

/// Where the text of a scalar starts, if its lines are those of the file but for the indentation.
fn text_start(text: &str, style: ScalarStyle, span: Span, start: Position) -> Option<Position> {
    let quotes = match style {
        ScalarStyle::Literal => {
            // The parser says where the first line is that is not blank.
            let blank = text.lines().take_while(|line| line.is_empty()).count();
            return Some(Position { line: start.line.checked_sub(blank)?, ..start });
        }
        ScalarStyle::Folded => return None,
        ScalarStyle::Plain => 0,
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => 1,
    };
    // Escapes and folded lines are longer in the file than what they stand for.
    let as_it_is = span.start.line() == span.end.line() && span.len() == text.chars().count() + 2 * quotes;
    as_it_is.then_some(Position { column: start.column + quotes, ..start })
}

fn wrong(position: Position, problem: impl Into<String>, help: &'static str) -> YamlError {
    YamlError { position, problem: problem.into(), help }
}
