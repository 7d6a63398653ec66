//! Templates of the operator that join values, constants and simple functions, as templates of the provider.

mod lexer;

use lexer::{Part, Token};

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

impl TemplateText {
    pub(super) fn parse(text: &str) -> Result<Self, Unsupported> {
        let mut pieces = Vec::new();
        for part in lexer::parts(text).ok_or(Unsupported::Syntax)? {
            match part {
                Part::Text(text) => pieces.push(Piece::Text(text)),
                Part::Action(tokens) => pieces.push(match Parser(&tokens).action()? {
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

/// Tokens of an action that are not parsed yet.
struct Parser<'a>(&'a [Token]);

/// An argument of a function.
#[derive(Clone, Debug)]
enum Argument {
    Value(Expression),
    Number(usize),
    /// All values: `.`.
    Dot,
}

impl Parser<'_> {
    fn action(mut self) -> Result<Expression, Unsupported> {
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

#[cfg(test)]
mod tests;
