//! `jmesPath`: fields of a JSON secret as files.

use jmespath::ast::Ast;

use super::finding::{Fault, quoted};
use super::names::{FileMode, RelativePath};

/// Bytes of an expression.
const LONGEST: usize = 1024;
/// Levels of an expression.
const DEEPEST: usize = 64;
/// Calls of functions in an expression. `to_string` can double what it gets.
const MOST_FUNCTIONS: usize = 4;
/// The sizes of all multi-selects of an expression, multiplied: piped into each other, each copies what it gets.
const MOST_COPIES: usize = 64;

/// One field of a JSON secret, and its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonField {
    /// Where the request names it: `objects[2].jmesPath[0]`.
    pub location: String,
    /// Which value.
    pub expression: JmesPath,
    /// The file, relative to the mount.
    pub path: RelativePath,
    /// The file's mode.
    pub mode: FileMode,
}

/// A `JMESPath` expression (<https://jmespath.org>) whose result is not much larger than its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JmesPath(String);

impl JmesPath {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        if text.is_empty() {
            return Err(Fault::new("it is missing", "give a JMESPath expression such as password"));
        }
        if text.len() > LONGEST {
            let problem = format!("the expression has {} bytes, more than {LONGEST}", text.len());
            return Err(Fault::new(problem, "use a shorter expression"));
        }
        let ast = jmespath::parse(text).map_err(|error| {
            let problem = format!(
                "{} is not a JMESPath expression: error at column {}",
                quoted(text),
                error.column + 1
            );
            Fault::new(problem, "a key with other characters than letters, digits and _ needs double quotes")
        })?;
        let mut cost = Cost::default();
        cost.add(&ast, 0)?;
        Ok(Self(text.to_owned()))
    }

    /// The expression.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What bounds the size of an expression's result.
struct Cost {
    functions: usize,
    copies: usize,
}

impl Default for Cost {
    fn default() -> Self {
        Self { functions: 0, copies: 1 }
    }
}

impl Cost {
    fn add(&mut self, ast: &Ast, depth: usize) -> Result<(), Fault> {
        if depth > DEEPEST {
            return Err(too_complex(format!("it has more than {DEEPEST} levels")));
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
                    return Err(too_complex("its function join can make a value of any size".to_owned()));
                }
                if self.functions > MOST_FUNCTIONS {
                    return Err(too_complex(format!("it calls more than {MOST_FUNCTIONS} functions")));
                }
                args.iter().collect()
            }
        };
        children.into_iter().try_for_each(|child| self.add(child, depth + 1))
    }

    fn copy(&mut self, times: usize) -> Result<(), Fault> {
        self.copies = self.copies.saturating_mul(times.max(1));
        if self.copies > MOST_COPIES {
            return Err(too_complex(format!(
                "its lists and maps copy a value more than {MOST_COPIES} times"
            )));
        }
        Ok(())
    }
}

fn too_complex(problem: String) -> Fault {
    Fault::new(problem, "select each field with an expression of its own")
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
    fn a_wrong_expression_is_an_error_with_its_column() {
        let fault = JmesPath::parse("user..name").unwrap_err();
        assert!(
            fault.problem.contains("is not a JMESPath expression: error at column 6"),
            "{}",
            fault.problem
        );
        assert!(JmesPath::parse("").unwrap_err().problem.contains("missing"));
    }

    #[test]
    fn an_expression_whose_result_grows_is_refused() {
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

    proptest::proptest! {
        #[test]
        fn any_text_is_an_expression_or_a_fault(text in "\\PC{0,40}|[a-z@\\[\\]{}().,|&'`\"*?!<>= 0-9-]{0,200}") {
            let _ = JmesPath::parse(&text);
        }
    }
}
