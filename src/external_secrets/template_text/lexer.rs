//! Splits a Go template into text, and the tokens of its actions.

/// Text, or an action: what is between `{{` and `}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Action(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A function or keyword.
    Word(String),
    /// `.name`
    Field(String),
    /// `.name` directly behind an operand.
    Chain(String),
    /// `$name`, or `$` with an empty name.
    Variable(String),
    Text(String),
    Number(usize),
    Dot,
    Open,
    Close,
    Pipe,
    /// `:=` or `=`
    Assign,
}

/// `None` if the syntax is wrong, or not known here.
pub(super) fn parts(text: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = text;
    let mut trims = false;
    loop {
        let (mut before, action) = match rest.split_once("{{") {
            Some((before, action)) => (before, Some(action)),
            None => (rest, None),
        };
        if trims {
            before = before.trim_start_matches(is_space);
        }
        let Some(mut action) = action else {
            parts.push(Part::Text(before.to_owned()));
            return Some(parts);
        };
        if let Some(inner) = action.strip_prefix('-').filter(|inner| inner.starts_with(is_space)) {
            before = before.trim_end_matches(is_space);
            action = inner;
        }
        parts.push(Part::Text(before.to_owned()));
        let after;
        if let Some(comment) = action.trim_start_matches(is_space).strip_prefix("/*") {
            after = comment.split_once("*/")?.1;
        } else {
            let (tokens, end) = tokens(action)?;
            parts.push(Part::Action(tokens));
            after = end;
        }
        (trims, rest) = match after.strip_prefix("}}") {
            Some(rest) => (false, rest),
            None => (true, after.trim_start_matches(is_space).strip_prefix("-}}")?),
        };
    }
}

fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\r' | '\n')
}

/// The tokens of an action, and the text from its end on: `}}`, or white space and `-}}`.
fn tokens(action: &str) -> Option<(Vec<Token>, &str)> {
    let mut tokens = Vec::new();
    let mut rest = action;
    let mut is_adjacent = false;
    loop {
        let spaceless = rest.trim_start_matches(is_space);
        let spaced = spaceless.len() < rest.len();
        if spaceless.starts_with("}}") {
            return Some((tokens, spaceless));
        }
        if spaced && spaceless.starts_with("-}}") {
            return Some((tokens, rest));
        }
        is_adjacent &= !spaced;
        let first = spaceless.chars().next()?;
        let (token, length) = match first {
            '"' => constant(spaceless)?,
            '`' => {
                let (text, _) = spaceless.get(1..)?.split_once('`')?;
                // Go removes carriage returns from it.
                (Token::Text(text.replace('\r', "")), text.len() + 2)
            }
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '|' => (Token::Pipe, 1),
            '=' => (Token::Assign, 1),
            ':' if spaceless.starts_with(":=") => (Token::Assign, 2),
            '.' => match word(spaceless.get(1..)?) {
                "" => (Token::Dot, 1),
                name if is_adjacent => (Token::Chain(name.to_owned()), name.len() + 1),
                name => (Token::Field(name.to_owned()), name.len() + 1),
            },
            '$' => {
                let name = word(spaceless.get(1..)?);
                (Token::Variable(name.to_owned()), name.len() + 1)
            }
            '1'..='9' => {
                let digits = spaceless.split(|letter: char| !letter.is_ascii_digit()).next()?;
                (Token::Number(digits.parse().ok()?), digits.len())
            }
            '0' => (Token::Number(0), 1),
            letter if letter.is_alphabetic() || letter == '_' => {
                let name = word(spaceless);
                (Token::Word(name.to_owned()), name.len())
            }
            _ => return None,
        };
        rest = spaceless.get(length..)?;
        // An operand ends where its letters end.
        let is_operand = !matches!(token, Token::Open | Token::Pipe | Token::Assign);
        let ends = rest.starts_with(['}', ')', '|', '.', ':', '=']) || rest.starts_with(is_space);
        if is_operand && token != Token::Close && !ends {
            return None;
        }
        is_adjacent = matches!(token, Token::Close | Token::Field(_) | Token::Chain(_) | Token::Variable(_));
        tokens.push(token);
    }
}

fn word(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// A text in double quotes, and its length with the quotes.
fn constant(text: &str) -> Option<(Token, usize)> {
    let mut constant = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((index, letter)) = letters.next() {
        match letter {
            '"' => return Some((Token::Text(constant), index + 1)),
            '\n' => return None,
            '\\' => {
                let mut code = |length: usize| {
                    let digits = letters.by_ref().take(length).map(|(_, digit)| digit).collect::<String>();
                    let is_hex =
                        digits.len() == length && digits.chars().all(|digit| digit.is_ascii_hexdigit());
                    is_hex.then(|| u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32)).flatten()
                };
                match text.get(index + 1..)?.chars().next()? {
                    'u' => {
                        _ = code(1);
                        constant.push(code(4)?);
                    }
                    letter => {
                        let (_, _) = letters.next()?;
                        constant.push(match letter {
                            'n' => '\n',
                            't' => '\t',
                            'r' => '\r',
                            letter @ ('\\' | '"') => letter,
                            _ => return None,
                        });
                    }
                }
            }
            letter => constant.push(letter),
        }
    }
    None
}
