//! The text of a template, which is checked before objects are fetched.
//!
//! The engine limits steps and depth, but not the size of values. Therefore, a template must not store values (`set`,
//! `with`, `macro`), because each `{% set x = x ~ x %}` doubles a value, and must not multiply text.

use minijinja::{Environment, ErrorKind};

use crate::plan::finding::{Fault, nearest, quoted};

/// Maximum size of one template in bytes.
const MAX_BYTES: usize = 16 << 10;

/// The statements that a template may use.
const STATEMENTS: &[&str] = &["if", "elif", "else", "endif", "for", "endfor"];

/// The filters that a template may use.
pub const FILTERS: &[&str] = &[
    "b64decode",
    "b64encode",
    "default",
    "dotenv",
    "from_json",
    "indent",
    "json",
    "json_html",
    "lower",
    "shell",
    "trim",
    "upper",
    "urlencode",
];

/// A template with valid syntax.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateSource {
    text: String,
    /// The objects that the template uses, each with the byte offset of its name.
    objects: Vec<(String, usize)>,
}

impl TemplateSource {
    /// Checks a template.
    pub(crate) fn parse(text: String) -> Result<Self, Fault> {
        if text.len() > MAX_BYTES {
            let problem = format!("it has {} bytes; the maximum is {MAX_BYTES}", text.len());
            return Err(Fault::new(problem, "split it into several files"));
        }
        let mut objects = Vec::new();
        for code in code_blocks(&text) {
            check(&text, &code, &mut objects)?;
        }
        let environment = Environment::empty();
        let template = environment.template_from_str(&text).map_err(|error| {
            let detail = match (error.kind(), error.detail()) {
                (ErrorKind::SyntaxError, Some(detail)) => detail.to_owned(),
                (kind, _) => kind.to_string(),
            };
            let (line, column) = error
                .range()
                .map_or((error.line().unwrap_or(1), 1), |range| line_and_column(&text, range.start));
            Fault::new(
                format!("line {line}, column {column} of the template: {detail}"),
                "templates have the syntax of Jinja2: {{ objects[\"name\"] }}",
            )
        })?;
        let mut unknown = template.undeclared_variables(false).into_iter().collect::<Vec<_>>();
        unknown.sort();
        if let Some(name) = unknown.into_iter().find(|name| name != "objects") {
            return Err(Fault::new(
                format!("the template uses {}, which does not exist", quoted(&name)),
                "use objects[\"name\"]",
            ));
        }
        drop(template);
        drop(environment);
        Ok(Self { text, objects })
    }

    /// The template's text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The objects that the template names with a constant, each with line and column.
    pub(super) fn objects(&self) -> impl Iterator<Item = (&str, usize, usize)> {
        self.objects.iter().map(|(name, offset)| {
            let (line, column) = line_and_column(&self.text, *offset);
            (name.as_str(), line, column)
        })
    }
}

/// The line and column of a byte offset, counted from 1.
pub(crate) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or(before);
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// A word, a text constant or a character of a code block.
#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplateToken {
    Word(String),
    Text(String),
    Other(char),
}

/// A block `{{ … }}` or `{% … %}`.
struct CodeBlock {
    is_statement: bool,
    tokens: Vec<(usize, TemplateToken)>,
}

/// The code blocks of a template. The engine reports a block without an end.
fn code_blocks(text: &str) -> Vec<CodeBlock> {
    let mut blocks = Vec::new();
    let mut at = 0;
    while let Some(begin) = text.get(at..).and_then(|rest| rest.find('{')).map(|begin| at + begin) {
        let rest = text.get(begin + 1..).unwrap_or_default();
        let end = match rest.chars().next() {
            Some('{') => "}}",
            Some('%') => "%}",
            Some('#') => {
                at = rest.find("#}").map_or(text.len(), |end| begin + 1 + end + 2);
                continue;
            }
            _ => {
                at = begin + 1;
                continue;
            }
        };
        let (tokens, after) = tokens(text, begin + 2, end);
        blocks.push(CodeBlock { is_statement: end == "%}", tokens });
        at = after;
    }
    blocks
}

/// The tokens from `begin` to `end`, and the offset after `end`.
fn tokens(text: &str, begin: usize, end: &str) -> (Vec<(usize, TemplateToken)>, usize) {
    let mut tokens = Vec::new();
    let mut at = begin;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(end) {
            return (tokens, at + end.len());
        }
        let Some(first) = rest.chars().next() else { break };
        let length = match first {
            '"' | '\'' => {
                let (constant, length) = constant(rest, first);
                tokens.push((at, TemplateToken::Text(constant)));
                length
            }
            _ if first.is_alphanumeric() || first == '_' => {
                let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
                let word = rest.chars().take_while(|letter| is_word(*letter)).collect::<String>();
                let length = word.len();
                tokens.push((at, TemplateToken::Word(word)));
                length
            }
            _ => {
                if !first.is_whitespace() {
                    tokens.push((at, TemplateToken::Other(first)));
                }
                first.len_utf8()
            }
        };
        at += length;
    }
    (tokens, text.len())
}

/// A quoted constant, and its length including the quotes.
fn constant(text: &str, quote: char) -> (String, usize) {
    let mut constant = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((index, letter)) = letters.next() {
        if letter == quote {
            return (constant, index + 1);
        }
        if letter == '\\' {
            constant.extend(letters.next().map(|(_, letter)| letter));
        } else {
            constant.push(letter);
        }
    }
    (constant, text.len())
}

/// Refuses unsupported code, and collects the objects that the code uses.
fn check(text: &str, code: &CodeBlock, objects: &mut Vec<(String, usize)>) -> Result<(), Fault> {
    let at = |offset: usize| {
        let (line, column) = line_and_column(text, offset);
        format!("line {line}, column {column} of the template")
    };
    let mut rest = code.tokens.as_slice();
    if code.is_statement {
        while let [(_, TemplateToken::Other('-' | '+')), after @ ..] = rest {
            rest = after;
        }
        if let [(offset, TemplateToken::Word(word)), ..] = rest
            && !STATEMENTS.contains(&word.as_str())
        {
            let problem = format!("{}: the statement {} is not supported", at(*offset), quoted(word));
            return Err(Fault::new(problem, format!("use {}", STATEMENTS.join(", "))));
        }
    }
    while let [(offset, token), after @ ..] = rest {
        match (token, after) {
            (TemplateToken::Other('*'), _) => {
                let problem = format!("{}: a template cannot multiply", at(*offset));
                return Err(Fault::new(problem, "write the text in full"));
            }
            (TemplateToken::Other('|'), [(offset, TemplateToken::Word(filter)), ..])
                if !FILTERS.contains(&filter.as_str()) =>
            {
                let problem = format!("{}: the filter {} does not exist", at(*offset), quoted(filter));
                let help = match nearest(filter, FILTERS) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => format!("use one of {}", FILTERS.join(", ")),
                };
                return Err(Fault::new(problem, help));
            }
            (TemplateToken::Word(word), _) if word == "objects" => objects.extend(member(after)),
            _ => {}
        }
        rest = after;
    }
    Ok(())
}

/// The name in `["name"]` or `.name`, with its offset.
fn member(tokens: &[(usize, TemplateToken)]) -> Option<(String, usize)> {
    match tokens {
        [
            (_, TemplateToken::Other('[')),
            (offset, TemplateToken::Text(name)),
            (_, TemplateToken::Other(']')),
            ..,
        ]
        | [(_, TemplateToken::Other('.')), (offset, TemplateToken::Word(name)), ..] => {
            Some((name.clone(), *offset))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<TemplateSource, Fault> {
        TemplateSource::parse(text.to_owned())
    }

    #[test]
    fn used_objects_are_found_with_their_positions() {
        let text = "A={{ objects[\"db-user\"] }}\nB={{ objects.host | upper }}\n{# objects['no'] #}objects[\"no\"]\n\
                    {% if objects['x'] is defined %}{{ objects[ 'x' ] }}{% endif %}{{ \"}} objects['no']\" }}";
        let source = parse(text).unwrap();
        let found = source.objects().collect::<Vec<_>>();
        assert_eq!(found, [("db-user", 1, 14), ("host", 2, 14), ("x", 4, 15), ("x", 4, 45)]);
    }

    #[test]
    fn unsupported_code_is_refused_with_line_and_column() {
        for (text, words) in [
            (
                "x\n{% set x = 1 %}",
                "line 2, column 4 of the template: the statement \"set\" is not supported",
            ),
            ("{%- macro x() %}{% endmacro %}", "the statement \"macro\""),
            ("{% include 'x' %}", "the statement \"include\""),
            ("{% with x = 1 %}{% endwith %}", "the statement \"with\""),
            ("{% raw %}{% set x = 1 %}{% endraw %}", "the statement \"raw\""),
            ("{{ 'x' * 1000 }}", "line 1, column 8 of the template: a template cannot multiply"),
            (
                "{{ objects.x | bas64 }}",
                "line 1, column 16 of the template: the filter \"bas64\" does not exist",
            ),
            ("{{ range(3) }}", "\"range\", which does not exist"),
            ("{{ user }}", "\"user\", which does not exist"),
            ("{{ objects.x ", "line 1, column"),
            ("{% if x %}", "line 1, column"),
            ("{{ }}", "line 1, column"),
        ] {
            let fault = parse(text).unwrap_err();
            assert!(fault.problem.contains(words), "{text}: {}", fault.problem);
        }
        parse(&"x".repeat(MAX_BYTES + 1)).unwrap_err();
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "(\\{\\{|\\}\\}|\\{%|%\\}|\\{#|[a-z'\"|\\[\\].~ \\\\\n-]|objects|set|\\PC){0,40}") {
            let _ = parse(&text);
        }
    }
}
