//! YAML with the source text of its scalars kept, bounded in depth and size.
//!
//! People write `filePermission: 0755` and mean octal, and a secret may be named `007`: a parser
//! that makes numbers of scalars has lost what they meant.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::finding::{Fault, quoted};

const DEPTH: usize = 32;
/// Nodes that one request may have, those that aliases repeat among them.
const NODES: usize = 100_000;
/// Bytes that one request may have read, those that aliases repeat among them.
const BYTES: usize = 8 << 20;

/// What is left for one request. Text inside text is read again, so all readings share it.
#[derive(Debug)]
pub(super) struct Budget {
    nodes: usize,
    bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { nodes: NODES, bytes: BYTES }
    }
}

impl Budget {
    fn spend(&mut self, nodes: usize, bytes: usize) -> Result<(), Fault> {
        match (self.nodes.checked_sub(nodes), self.bytes.checked_sub(bytes)) {
            (Some(nodes), Some(bytes)) => {
                *self = Self { nodes, bytes };
                Ok(())
            }
            _ => Err(Fault::new("it is too large once its aliases are written out", "make it smaller")),
        }
    }
}

/// A YAML node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// Source text; what YAML takes for null is empty.
    Scalar(String),
    Sequence(Vec<Node>),
    Mapping(Vec<(String, Node)>),
}

impl Node {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Scalar(_) => "a scalar",
            Self::Sequence(_) => "a list",
            Self::Mapping(_) => "a mapping",
        }
    }

    /// Nodes and text bytes of this node and all below.
    fn weight(&self) -> (usize, usize) {
        let sum = |(nodes, bytes), (more_nodes, more_bytes)| (nodes + more_nodes, bytes + more_bytes);
        match self {
            Self::Scalar(text) => (1, text.len()),
            Self::Sequence(items) => items.iter().map(Self::weight).fold((1, 0), sum),
            Self::Mapping(entries) => {
                entries.iter().map(|(key, value)| sum((1, key.len()), value.weight())).fold((1, 0), sum)
            }
        }
    }
}

/// Reads the first document of `text`; `None` if there is none.
pub(super) fn parse(text: &str, budget: &mut Budget) -> Result<Option<Node>, Fault> {
    budget.spend(1, text.len())?;
    let mut reader = Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), budget };
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(None),
            (Event::DocumentStart(_), _) => {
                let (event, span) = reader.next()?;
                return reader.node(event, span, 0).map(Some);
            }
            _ => {}
        }
    }
}

struct Reader<'text, 'budget> {
    parser: Parser<'text, saphyr_parser::StrInput<'text>>,
    anchors: HashMap<usize, Node>,
    budget: &'budget mut Budget,
}

impl<'text> Reader<'text, '_> {
    fn next(&mut self) -> Result<(Event<'text>, Span), Fault> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(syntax(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'text>, span: Span, depth: usize) -> Result<Node, Fault> {
        if depth > DEPTH {
            return Err(at(
                span,
                "nested too deeply",
                "no object needs this depth; look for a stray bracket",
            ));
        }
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => (Node::Scalar(scalar(&text, style)), anchor),
            Event::SequenceStart(anchor, _) => (self.sequence(depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.mapping(depth)?, anchor),
            Event::Alias(anchor) => {
                let Some((nodes, bytes)) = self.anchors.get(&anchor).map(Node::weight) else {
                    return Err(at(span, "an alias of something unfinished", "write the value out"));
                };
                // Paid for before it is copied: that is what defuses a bomb.
                self.budget.spend(nodes, bytes)?;
                return Ok(self.anchors.get(&anchor).cloned().unwrap_or(Node::Scalar(String::new())));
            }
            _ => return Err(at(span, "a value is missing", "complete the document")),
        };
        let bytes = if let Node::Scalar(text) = &node { text.len() } else { 0 };
        self.budget.spend(1, bytes)?;
        if anchor > 0 {
            let (nodes, bytes) = node.weight();
            self.budget.spend(nodes, bytes)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn sequence(&mut self, depth: usize) -> Result<Node, Fault> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Node::Sequence(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Node, Fault> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        let mut seen = HashSet::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = match self.next()? {
                (Event::MappingEnd, _) => break,
                next => next,
            };
            let Node::Scalar(key) = self.node(event, span, depth + 1)? else {
                return Err(at(span, "a key that is not text", "write a field's name"));
            };
            let (event, value_span) = self.next()?;
            let value = self.node(event, value_span, depth + 1)?;
            if key == "<<" {
                let Node::Mapping(more) = value else {
                    return Err(at(value_span, "`<<` merges something that is no mapping", "give a mapping"));
                };
                merged.extend(more);
            } else if seen.insert(key.clone()) {
                entries.push((key, value));
            } else {
                let problem = format!("{} is there twice", quoted(&key));
                return Err(at(span, &problem, "keep one of them"));
            }
        }
        for (key, value) in merged {
            if seen.insert(key.clone()) {
                entries.push((key, value));
            }
        }
        Ok(Node::Mapping(entries))
    }
}

fn scalar(text: &str, style: ScalarStyle) -> String {
    let null = style == ScalarStyle::Plain && matches!(text, "~" | "null" | "Null" | "NULL");
    if null { String::new() } else { text.to_owned() }
}

fn at(span: Span, problem: &str, mend: &str) -> Fault {
    Fault::new(format!("line {}: {problem}", span.start.line()), mend)
}

fn syntax(error: &ScanError) -> Fault {
    Fault::new(
        format!(
            "line {}, column {}: not YAML: {}",
            error.marker().line(),
            error.marker().col() + 1,
            error.info()
        ),
        "correct the indentation, quotes or brackets there",
    )
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Option<Node>, Fault> {
        parse(text, &mut Budget::default())
    }

    fn text(text: &str) -> Node {
        Node::Scalar(text.to_owned())
    }

    #[test]
    fn scalars_keep_their_source_text() {
        let node = read("a: 0755\nb: 007\nc: true\nd: 1e3\ne: ~\nf: 'null'\ng:\n").unwrap().unwrap();
        let entries =
            [("a", "0755"), ("b", "007"), ("c", "true"), ("d", "1e3"), ("e", ""), ("f", "null"), ("g", "")];
        assert_eq!(node, Node::Mapping(entries.map(|(key, value)| (key.to_owned(), text(value))).to_vec()));
    }

    #[test]
    fn aliases_and_merges_are_written_out() {
        let node = read("- &a {x: 1, y: 2}\n- {<<: *a, y: 3}\n").unwrap().unwrap();
        let Node::Sequence(items) = node else { panic!("a list") };
        assert_eq!(items[1], Node::Mapping(vec![("y".into(), text("3")), ("x".into(), text("1"))]));
    }

    #[test]
    fn alias_bombs_depth_and_cycles_are_refused() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let previous = format!("*a{}, ", level - 1).repeat(10);
            writeln!(bomb, "a{level}: &a{level} [{}]", previous.trim_end_matches(", ")).unwrap();
        }
        assert!(read(&bomb).unwrap_err().problem.contains("too large"));
        assert!(read(&"[".repeat(100_000)).is_err());
        assert!(
            read(&format!("{}x{}", "[".repeat(50), "]".repeat(50))).unwrap_err().problem.contains("deeply")
        );
        assert!(read("&a [*a]").is_err());
        assert!(read("a: 1\na: 2\n").unwrap_err().problem.contains("twice"));
    }

    #[test]
    fn nothing_is_no_document() {
        assert_eq!(read("").unwrap(), None);
        assert_eq!(read("# only a comment\n").unwrap(), None);
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "\\PC{0,200}") {
            let _ = read(&text);
        }

        #[test]
        fn any_yaml_like_text_is_parsed_or_refused(text in "[-\\[\\]{}:,&*|> a\n\"'#!%@~\t\u{0}]{0,200}") {
            let _ = read(&text);
        }
    }
}
