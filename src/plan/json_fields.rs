//! `jmesPath`: selects fields of a JSON secret to write as files.

use std::fmt;

use jmespath::ast::Ast;

use super::finding::{Fault, quoted};
use super::names::{FileMode, RelativePath};
use crate::secret_rules::is_key;

/// Maximum size of an expression in bytes.
const MAX_BYTES: usize = 1024;
/// Maximum nesting depth of an expression.
const MAX_DEPTH: usize = 64;
/// Maximum number of function calls in an expression. `to_string` can double the size of its argument.
const MAX_FUNCTIONS: usize = 4;
/// Maximum product of the sizes of all multi-selects in an expression. When they are piped into each other, each copies its
/// input.
const MAX_COPIES: usize = 64;

/// One field of a JSON secret, and its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonField {
    /// The location in the request, for example `objects[2].jmesPath[0]`.
    pub location: String,
    /// The expression that selects the value.
    pub expression: JmesPath,
    /// The file or files.
    pub file: FieldFile,
    /// The mode of each file.
    pub mode: FileMode,
}

/// The file of a selected value, relative to the mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldFile {
    /// One file.
    One(RelativePath),
    /// A file of each key of the JSON object that is selected.
    EachKey(KeyPattern),
}

/// The path, with a `*` for the keys that only the secret has.
impl fmt::Display for FieldFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(path) => f.write_str(path.as_str()),
            Self::EachKey(KeyPattern { before, after }) => write!(f, "{before}*{after}"),
        }
    }
}

impl FieldFile {
    /// Parses an `objectAlias`. A `*` in it stands for each key.
    pub(super) fn parse(alias: &str) -> Result<Self, Fault> {
        match alias.split_once('*') {
            None => RelativePath::parse(alias).map(Self::One),
            Some((before, after)) => KeyPattern::parse(before, after).map(Self::EachKey),
        }
    }

    /// The path, unless only the secret has the keys that name the files.
    pub fn path(&self) -> Option<&RelativePath> {
        match self {
            Self::One(path) => Some(path),
            Self::EachKey(_) => None,
        }
    }

    /// Whether a file may have this path.
    pub(super) fn matches(&self, path: &str) -> bool {
        match self {
            Self::One(one) => one.as_str() == path,
            Self::EachKey(pattern) => pattern.matches(path),
        }
    }
}

/// A path with a `*` for the key of a JSON object, such as `db/*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPattern {
    before: String,
    after: String,
}

impl KeyPattern {
    fn parse(before: &str, after: &str) -> Result<Self, Fault> {
        if after.contains('*') {
            let problem = format!("{} has more than one *", quoted(&format!("{before}*{after}")));
            return Err(Fault::new(problem, "write one *, which stands for the key"));
        }
        RelativePath::parse(&format!("{before}key{after}"))?;
        Ok(Self { before: before.to_owned(), after: after.to_owned() })
    }

    /// The path for a key. `None` if the key has characters that a key of a Kubernetes Secret cannot have, or if the
    /// path is not a valid file name.
    pub fn path(&self, key: &str) -> Option<RelativePath> {
        let path = || RelativePath::parse(&format!("{}{key}{}", self.before, self.after)).ok();
        is_key(key).then(path).flatten()
    }

    fn matches(&self, path: &str) -> bool {
        let key = path.strip_prefix(&self.before).and_then(|rest| rest.strip_suffix(&self.after));
        key.is_some_and(|key| self.path(key).is_some())
    }
}

/// A `JMESPath` expression (<https://jmespath.org>) whose result is not much larger than its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JmesPath(String);

impl JmesPath {
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        if text.is_empty() {
            return Err(Fault::new("it is missing", "set it to a JMESPath expression such as password"));
        }
        if text.len() > MAX_BYTES {
            let problem = format!("the expression has {} bytes; the maximum is {MAX_BYTES}", text.len());
            return Err(Fault::new(problem, "use a shorter expression"));
        }
        let ast = jmespath::parse(text).map_err(|error| {
            let problem = format!(
                "{} is not a JMESPath expression: error at column {}",
                quoted(text),
                error.column + 1
            );
            Fault::new(problem, "put keys with other characters than letters, digits and _ in double quotes")
        })?;
        let mut cost = ExpressionCost::default();
        cost.add(&ast, 0)?;
        Ok(Self(text.to_owned()))
    }

    /// The expression.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Counts the operations that increase the size of an expression's result.
struct ExpressionCost {
    functions: usize,
    copies: usize,
}

impl Default for ExpressionCost {
    fn default() -> Self {
        Self { functions: 0, copies: 1 }
    }
}

impl ExpressionCost {
    fn add(&mut self, ast: &Ast, depth: usize) -> Result<(), Fault> {
        if depth > MAX_DEPTH {
            return Err(too_complex(format!("it has more than {MAX_DEPTH} levels")));
        }
        let children: Vec<&Ast> = match ast {
            Ast::Identity { .. }
            | Ast::Field { .. }
            | Ast::Index { .. }
            | Ast::Literal { .. }
            | Ast::Slice { .. } => Vec::new(),
            Ast::Expref { ast, .. } => vec![ast],
            Ast::Flatten { node, .. } | Ast::Not { node, .. } | Ast::ObjectValues { node, .. } => vec![node],
            Ast::Comparison { lhs, rhs, .. }
            | Ast::Projection { lhs, rhs, .. }
            | Ast::And { lhs, rhs, .. }
            | Ast::Or { lhs, rhs, .. }
            | Ast::Subexpr { lhs, rhs, .. } => vec![lhs, rhs],
            Ast::Condition { predicate, then, .. } => vec![predicate, then],
            Ast::MultiList { elements, .. } => {
                self.copy(elements.len())?;
                elements.iter().collect()
            }
            Ast::MultiHash { elements, .. } => {
                self.copy(elements.len())?;
                elements.iter().map(|pair| &pair.value).collect()
            }
            Ast::Function { name, args, .. } => {
                self.functions += 1;
                if name == "join" {
                    return Err(too_complex("its function join can create a value of any size".to_owned()));
                }
                if self.functions > MAX_FUNCTIONS {
                    return Err(too_complex(format!("it calls more than {MAX_FUNCTIONS} functions")));
                }
                args.iter().collect()
            }
        };
        children.into_iter().try_for_each(|child| self.add(child, depth + 1))
    }

    fn copy(&mut self, times: usize) -> Result<(), Fault> {
        self.copies = self.copies.saturating_mul(times.max(1));
        if self.copies > MAX_COPIES {
            return Err(too_complex(format!("its lists and maps copy a value more than {MAX_COPIES} times")));
        }
        Ok(())
    }
}

fn too_complex(problem: String) -> Fault {
    Fault::new(problem, "select each field with a separate expression")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_for_fields_are_accepted() {
        for text in [
            "password",
            "\"dotted.key\"",
            "users[0].name",
            "users[?admin].name | [0]",
            "{user: user, password: password}",
            "[user, password]",
            "to_string(@)",
            "length(keys(@))",
        ] {
            assert_eq!(JmesPath::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn an_invalid_expression_is_an_error_with_its_column() {
        let fault = JmesPath::parse("user..name").unwrap_err();
        assert!(
            fault.problem.contains("is not a JMESPath expression: error at column 6"),
            "{}",
            fault.problem
        );
        assert!(JmesPath::parse("").unwrap_err().problem.contains("missing"));
    }

    #[test]
    fn an_expression_whose_result_may_grow_is_refused() {
        for text in [
            "[@,@] | ".repeat(6) + "[@,@]",
            format!("[{}]", ["@"; 65].join(",")),
            "to_string(".repeat(5) + "@" + &")".repeat(5),
            "join(a, b)".to_owned(),
            "a.".repeat(70) + "a",
            "a".repeat(1025),
        ] {
            JmesPath::parse(&text).expect_err(&text);
        }
    }

    #[test]
    fn a_star_in_the_name_of_a_file_stands_for_each_key() {
        let FieldFile::EachKey(pattern) = FieldFile::parse("db/*.txt").unwrap() else { panic!() };
        assert_eq!(pattern.path("user").unwrap().as_str(), "db/user.txt");
        for key in ["", "a b", "a/b", "..", "é", "a\n"] {
            assert_eq!(pattern.path(key), None, "{key}");
        }
        let FieldFile::EachKey(all) = FieldFile::parse("*").unwrap() else { panic!() };
        for key in ["..", "..data", "."] {
            assert_eq!(all.path(key), None, "{key}");
        }
        assert!(all.matches("user") && !all.matches("db/user") && !all.matches(""));
        assert!(pattern.matches("db/user.txt") && !pattern.matches("db/.txt") && !pattern.matches("user"));
        for wrong in ["*/*", "**", "../*", "/*", "a//*", "..*"] {
            FieldFile::parse(wrong).expect_err(wrong);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "\\PC{0,40}|[a-z@\\[\\]{}().,|&'`\"*?!<>= 0-9-]{0,200}") {
            let _ = JmesPath::parse(&text);
        }
    }
}
