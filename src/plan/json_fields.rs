//! `jmesPath`: selects fields of a JSON secret to write as files.

use jmespath::ast::Ast;

use super::finding::{Fault, quoted};
use super::names::{FileMode, RelativePath};

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

    proptest::proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "\\PC{0,40}|[a-z@\\[\\]{}().,|&'`\"*?!<>= 0-9-]{0,200}") {
            let _ = JmesPath::parse(&text);
        }
    }
}
