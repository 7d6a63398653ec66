//! Templates of the operator that join values, constants and simple functions, as templates of the provider.

mod lexer;
mod parser;

use lexer::Part;
use parser::Parser;

/// A text with values of the vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TemplateText(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value(Expression),
}

/// Why a template cannot be converted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unsupported {
    /// A function that the provider's templates lack, or have with another result.
    Function(String),
    /// A statement, such as `if`.
    Statement(String),
    /// The operator cannot render it, or this parser does not know its syntax.
    Syntax,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expression {
    /// The value of a `secretKey`.
    Key(String),
    Text(String),
    /// A field of a JSON object.
    Field(Box<Self>, String),
    Filter(Box<Self>, &'static str),
    Indent(Box<Self>, usize),
    /// The first value, or the second if the first is empty.
    Default(Box<Self>, Box<Self>),
    Joined(Vec<Self>),
}

impl TemplateText {
    pub(super) fn parse(text: &str) -> Result<Self, Unsupported> {
        let mut pieces = Vec::new();
        for part in lexer::parts(text).ok_or(Unsupported::Syntax)? {
            match part {
                Part::Text(text) => pieces.push(Piece::Text(text)),
                Part::Action(tokens) => pieces.push(match Parser::new(&tokens).action()? {
                    Expression::Text(text) => Piece::Text(text),
                    value => Piece::Value(value),
                }),
            }
        }
        Ok(Self(pieces))
    }

    /// The `secretKey`s that it uses, each once.
    pub(super) fn keys(&self) -> Vec<&str> {
        let mut keys = Vec::new();
        for piece in &self.0 {
            if let Piece::Value(value) = piece {
                value.add_keys(&mut keys);
            }
        }
        keys
    }

    /// Whether it joins values in an expression, where the engine accepts bytes that are not text.
    pub(super) fn joins(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Value(value) if value.joins()))
    }

    /// The template of the provider. `name` gives the name of the object that has the value of a `secretKey`.
    pub(super) fn write(&self, name: &dyn Fn(&str) -> String) -> String {
        let mut out = String::new();
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(more) => text.push_str(more),
                Piece::Value(value) => {
                    out.push_str(&literal(&std::mem::take(&mut text), true));
                    out.extend(["{{ ", &value.write(name), " }}"]);
                }
            }
        }
        out.push_str(&literal(&text, false));
        // The parameter must have a text.
        if out.is_empty() { "{{ \"\" }}".to_owned() } else { out }
    }
}

/// Text that the provider's engine writes unchanged. `before_value`: whether `{{` follows.
fn literal(text: &str, before_value: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let opens = match letters.peek() {
            Some(next) => ['{', '%', '#'].contains(next),
            None => before_value,
        };
        if letter == '{' && opens { out.push_str("{{ \"{\" }}") } else { out.push(letter) }
    }
    out
}

impl Expression {
    fn add_keys<'a>(&'a self, keys: &mut Vec<&'a str>) {
        match self {
            Self::Key(key) if keys.contains(&key.as_str()) => {}
            Self::Key(key) => keys.push(key),
            Self::Text(_) => {}
            Self::Field(inner, _) | Self::Filter(inner, _) | Self::Indent(inner, _) => inner.add_keys(keys),
            Self::Default(value, other) => {
                value.add_keys(keys);
                other.add_keys(keys);
            }
            Self::Joined(parts) => parts.iter().for_each(|part| part.add_keys(keys)),
        }
    }

    fn joins(&self) -> bool {
        match self {
            Self::Key(_) | Self::Text(_) => false,
            Self::Field(inner, _) | Self::Filter(inner, _) | Self::Indent(inner, _) => inner.joins(),
            Self::Default(value, other) => value.joins() || other.joins(),
            Self::Joined(_) => true,
        }
    }

    fn uses(&self, name: &str) -> bool {
        match self {
            Self::Key(_) | Self::Text(_) => false,
            Self::Filter(_, filter) if *filter == name => true,
            Self::Field(inner, _) | Self::Filter(inner, _) | Self::Indent(inner, _) => inner.uses(name),
            Self::Default(value, other) => value.uses(name) || other.uses(name),
            Self::Joined(parts) => parts.iter().any(|part| part.uses(name)),
        }
    }

    fn write(&self, name: &dyn Fn(&str) -> String) -> String {
        let constant = |text: &str| serde_json::Value::from(text).to_string();
        let operand = |value: &Self| match value {
            Self::Key(_) | Self::Text(_) | Self::Field(..) => value.write(name),
            _ => format!("({})", value.write(name)),
        };
        match self {
            Self::Key(key) => format!("objects[{}]", constant(&name(key))),
            Self::Text(text) => constant(text),
            Self::Field(inner, field) => format!("{}[{}]", operand(inner), constant(field)),
            Self::Filter(inner, filter) => {
                let inner = match inner.as_ref() {
                    chain @ Self::Filter(..) => chain.write(name),
                    other => operand(other),
                };
                format!("{inner} | {filter}")
            }
            Self::Indent(inner, width) => {
                format!("{} ~ ({} | indent({width}))", constant(&" ".repeat(*width)), operand(inner))
            }
            Self::Default(value, other) => format!("{} or {}", operand(value), operand(other)),
            Self::Joined(parts) => parts.iter().map(operand).collect::<Vec<_>>().join(" ~ "),
        }
    }
}

#[cfg(test)]
mod tests;
