//! Parses the actions of a Go template.

use super::lexer::Token;
use super::{Expression, Unsupported};

/// Functions with the same result as a filter of the provider.
const FILTERS: [(&str, &str); 10] = [
    ("b64dec", "b64decode"),
    ("b64enc", "b64encode"),
    ("fromJson", "from_json"),
    ("lower", "lower"),
    ("mustFromJson", "from_json"),
    ("mustToJson", "json_html"),
    ("toJson", "json_html"),
    ("toRawJson", "json"),
    ("trim", "trim"),
    ("upper", "upper"),
];

const STATEMENTS: [&str; 10] =
    ["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"];

/// Tokens of an action that are not parsed yet.
pub(super) struct Parser<'a>(&'a [Token]);

/// An argument of a function.
#[derive(Clone, Debug)]
enum Argument {
    Value(Expression),
    Number(usize),
    /// All values: `.`.
    Dot,
}

impl<'a> Parser<'a> {
    pub(super) fn new(tokens: &'a [Token]) -> Self {
        Self(tokens)
    }

    pub(super) fn action(mut self) -> Result<Expression, Unsupported> {
        match self.0 {
            [Token::Word(word), ..] if STATEMENTS.contains(&word.as_str()) => {
                return Err(Unsupported::Statement(word.clone()));
            }
            [Token::Variable(name), Token::Assign, ..] => {
                return Err(Unsupported::Statement(format!("${name} :=")));
            }
            _ => {}
        }
        let value = self.pipeline()?;
        if self.0.is_empty() { printable(value) } else { Err(Unsupported::Syntax) }
    }

    fn next(&mut self) -> Option<Token> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first.clone())
    }

    fn pipeline(&mut self) -> Result<Expression, Unsupported> {
        let mut value = self.command(None)?;
        while self.0.first() == Some(&Token::Pipe) {
            self.next();
            value = self.command(Some(value))?;
        }
        Ok(value)
    }

    fn command(&mut self, piped: Option<Expression>) -> Result<Expression, Unsupported> {
        let function = match self.0.first() {
            Some(Token::Word(name)) => Some(name.clone()),
            _ => None,
        };
        if function.is_some() {
            self.next();
        }
        let mut arguments = Vec::new();
        while let Some(token) = self.0.first() {
            if matches!(token, Token::Pipe | Token::Close) {
                break;
            }
            arguments.push(self.argument()?);
        }
        match (function, piped) {
            (Some(function), piped) => {
                arguments.extend(piped.map(Argument::Value));
                call(&function, &arguments)
            }
            (None, None) => match arguments.as_slice() {
                [Argument::Value(value)] => Ok(value.clone()),
                _ => Err(Unsupported::Syntax),
            },
            (None, Some(_)) => Err(Unsupported::Syntax),
        }
    }

    fn argument(&mut self) -> Result<Argument, Unsupported> {
        let mut argument = match self.next().ok_or(Unsupported::Syntax)? {
            Token::Text(text) => Argument::Value(Expression::Text(text)),
            Token::Number(number) => Argument::Number(number),
            Token::Dot => Argument::Dot,
            Token::Field(name) => Argument::Value(Expression::Key(name)),
            // `$` is all values, like `.` outside of statements.
            Token::Variable(name) if name.is_empty() => Argument::Dot,
            Token::Variable(name) => return Err(Unsupported::Statement(format!("${name}"))),
            Token::Open => {
                let value = self.pipeline()?;
                if self.next() != Some(Token::Close) {
                    return Err(Unsupported::Syntax);
                }
                Argument::Value(value)
            }
            Token::Word(function) => return Err(Unsupported::Function(function)),
            Token::Chain(_) | Token::Pipe | Token::Close | Token::Assign => return Err(Unsupported::Syntax),
        };
        while let Some(Token::Chain(name)) = self.0.first() {
            let name = name.clone();
            self.next();
            argument = match argument {
                Argument::Dot => Argument::Value(Expression::Key(name)),
                Argument::Value(value) if value.is_json() => {
                    Argument::Value(Expression::Field(Box::new(value), name))
                }
                Argument::Value(_) | Argument::Number(_) => return Err(Unsupported::Syntax),
            };
        }
        Ok(argument)
    }
}

impl Expression {
    /// Whether it may be a JSON object or list.
    fn is_json(&self) -> bool {
        match self {
            Self::Filter(_, filter) => *filter == "from_json",
            Self::Field(..) => true,
            _ => false,
        }
    }
}

/// The engines print a JSON object in different forms; a field of it is printed if it is text or a number.
fn printable(value: Expression) -> Result<Expression, Unsupported> {
    match value {
        Expression::Filter(_, "from_json") => Err(Unsupported::Function("fromJson".to_owned())),
        value => Ok(value),
    }
}

/// The call of a function. A piped value is the last argument.
fn call(function: &str, arguments: &[Argument]) -> Result<Expression, Unsupported> {
    let unsupported = || Unsupported::Function(function.to_owned());
    match (function, arguments) {
        ("toString", [Argument::Value(value)]) => printable(value.clone()),
        ("index", [Argument::Dot, Argument::Value(Expression::Text(key))]) => {
            Ok(Expression::Key(key.clone()))
        }
        ("index", [Argument::Value(object), Argument::Value(Expression::Text(key))]) if object.is_json() => {
            Ok(Expression::Field(Box::new(object.clone()), key.clone()))
        }
        ("default", [Argument::Value(other), Argument::Value(value)]) => {
            let (value, other) = (printable(value.clone())?, printable(other.clone())?);
            Ok(Expression::Default(Box::new(value), Box::new(other)))
        }
        ("indent" | "nindent", [Argument::Number(width), Argument::Value(value)]) if *width <= WIDEST => {
            let value = Expression::Indent(Box::new(printable(value.clone())?), *width);
            Ok(match function {
                "nindent" => Expression::Joined(vec![Expression::Text("\n".to_owned()), value]),
                _ => value,
            })
        }
        ("printf", [Argument::Value(Expression::Text(format)), arguments @ ..]) => {
            printf(format, arguments).ok_or_else(unsupported)
        }
        (_, [Argument::Value(value)]) => {
            let (_, filter) =
                FILTERS.into_iter().find(|(name, _)| *name == function).ok_or_else(unsupported)?;
            let value = if filter.starts_with("json") { value.clone() } else { printable(value.clone())? };
            Ok(Expression::Filter(Box::new(value), filter))
        }
        _ => Err(unsupported()),
    }
}

/// Spaces of an indentation, at most.
const WIDEST: usize = 64;

/// `printf` with `%s` and `%%` only, of text.
fn printf(format: &str, arguments: &[Argument]) -> Option<Expression> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut arguments = arguments.iter();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        match (letter, if letter == '%' { letters.next() } else { None }) {
            ('%', Some('%')) => text.push('%'),
            ('%', Some('s')) => {
                let Some(Argument::Value(value)) = arguments.next() else { return None };
                // Other types have another form, and bytes that are not text would be changed.
                if value.is_json() || value.uses("b64decode") {
                    return None;
                }
                parts.push(Expression::Text(std::mem::take(&mut text)));
                parts.push(value.clone());
            }
            ('%', _) => return None,
            (letter, _) => text.push(letter),
        }
    }
    parts.push(Expression::Text(text));
    parts.retain(|part| *part != Expression::Text(String::new()));
    arguments.next().is_none().then_some(Expression::Joined(parts))
}
