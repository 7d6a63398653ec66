//! Renders files from several objects with a sandboxed template engine. Templates have no access to files or the network.
//! The number of steps, the depth and the sizes are limited.

mod filters;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Object, Value};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, context};

use super::generated::{Generated, MAX_GENERATED};
use crate::code::Code;
use crate::deliver::VolumeFile;
use crate::plan::{ObjectPlan, TemplatePlan, line_and_column};
use crate::secret::SecretBytes;

/// Maximum number of the engine's instructions for one file.
const MAX_INSTRUCTIONS: u64 = 20_000;
/// Maximum depth of nested calls and loops.
const MAX_DEPTH: usize = 50;
/// Maximum size of the result of a filter, in bytes.
const MAX_FILTERED: usize = MAX_GENERATED;

/// An error of rendering a template. Does not quote values.
#[derive(Debug, thiserror::Error)]
#[error("{location}: line {line}, column {column} of the template: {problem}")]
pub struct TemplateError {
    location: String,
    line: usize,
    column: usize,
    problem: String,
}

impl TemplateError {
    /// The gRPC code of the mount.
    pub fn code(&self) -> Code {
        Code::InvalidArgument
    }
}

/// The objects of a class, by alias and by name. A missing optional object has no value.
#[derive(Debug, Default)]
pub struct TemplateObjects {
    named: BTreeMap<String, Option<Value>>,
    /// The keys of JSON objects, which only the secrets have. Names of the class take precedence.
    keys: BTreeMap<String, Option<Value>>,
}

impl TemplateObjects {
    /// Adds an object. Its JSON fields have no values yet.
    pub fn add(&mut self, object: &ObjectPlan, value: Option<&SecretBytes>) {
        let value = value.map(value_of);
        for name in [object.path.as_str(), object.name.as_str()] {
            self.named.insert(name.to_owned(), value.clone());
        }
        let paths = object.json_fields.iter().filter_map(|field| field.file.path());
        self.named.extend(paths.map(|path| (path.as_str().to_owned(), None)));
    }

    /// Adds JSON fields of an object, by the paths of their files.
    pub fn add_fields<'a>(&mut self, object: &ObjectPlan, files: impl Iterator<Item = &'a VolumeFile>) {
        for file in files {
            let is_named = object.json_fields.iter().any(|field| field.file.path() == Some(&file.path));
            let values = if is_named { &mut self.named } else { &mut self.keys };
            values.insert(file.path.as_str().to_owned(), Some(value_of(&file.contents)));
        }
    }
}

fn value_of(bytes: &SecretBytes) -> Value {
    match std::str::from_utf8(bytes.expose()) {
        Ok(text) => Value::from(text),
        Err(_) => Value::from_bytes(bytes.expose().to_vec()),
    }
}

/// The variable `objects`.
#[derive(Debug)]
struct Objects {
    known: Arc<TemplateObjects>,
    /// Whether the template used a name that no object has. Constant names are checked in the plan, so the name is
    /// computed, perhaps from a secret, and must not be in an error.
    has_unknown: Arc<AtomicBool>,
}

impl Object for Objects {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        match self.known.named.get(name).or_else(|| self.known.keys.get(name)) {
            Some(value) => value.clone(),
            None => {
                self.has_unknown.store(true, Ordering::Relaxed);
                None
            }
        }
    }
}

/// Renders the file of a template.
///
/// # Errors
/// [`TemplateError`], with line and column.
pub fn render(
    plan: &TemplatePlan,
    objects: &Arc<TemplateObjects>,
    generated: &mut Generated,
) -> Result<VolumeFile, TemplateError> {
    let mut environment = Environment::empty();
    environment.set_debug(false);
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_fuel(Some(MAX_INSTRUCTIONS));
    environment.set_recursion_limit(MAX_DEPTH);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_formatter(|out, state, value| match value.as_bytes() {
        Some(_) if value.as_str().is_none() => Err(Error::new(ErrorKind::BadEscape, NOT_TEXT)),
        _ => minijinja::escape_formatter(out, state, value),
    });
    filters::add(&mut environment);
    minijinja_tests(&mut environment);
    let has_unknown = Arc::new(AtomicBool::new(false));
    let variable = Objects { known: Arc::clone(objects), has_unknown: Arc::clone(&has_unknown) };
    let mut limited = generated.begin();
    let source = plan.source.as_str();
    let rendered = environment.template_from_str(source).and_then(|template| {
        let context = context! { objects => Value::from_object(variable) };
        template.render_captured_to(context, &mut limited).map(|_| ())
    });
    let contents = limited.finish();
    rendered.map_err(|error| explained(plan, &error, has_unknown.load(Ordering::Relaxed)))?;
    Ok(VolumeFile { path: plan.path.clone(), mode: plan.mode, contents })
}

const NOT_TEXT: &str = "the object is not text in UTF-8; use the filter b64encode";

/// Adds the tests that an `if` may use.
fn minijinja_tests(environment: &mut Environment<'_>) {
    environment.add_test("defined", |value: &Value| !value.is_undefined());
}

fn explained(plan: &TemplatePlan, error: &Error, has_unknown: bool) -> TemplateError {
    let source = plan.source.as_str();
    let (line, column) =
        error.range().map_or((error.line().unwrap_or(1), 1), |range| line_and_column(source, range.start));
    let problem = match (error.kind(), has_unknown) {
        (ErrorKind::UndefinedError, true) => {
            "no object has the computed name; write constant names, or add the object to objects".to_owned()
        }
        (ErrorKind::UndefinedError, false) => {
            "the value is undefined: an optional object is missing, or the JSON value has no such field; test it \
             with `is defined`, or use the filter default"
                .to_owned()
        }
        (ErrorKind::OutOfFuel, _) => "the template takes too many steps; use a smaller loop".to_owned(),
        (ErrorKind::WriteFailure, _) => format!("the generated files of the class have more than {MAX_GENERATED} bytes; use several classes and volumes"),
        // An error of this module's filters, which does not quote a value.
        (ErrorKind::BadEscape, _) => error.detail().unwrap_or_default().to_owned(),
        (ErrorKind::UnknownTest, _) => "only the test `is defined` is supported".to_owned(),
        // The engine's details are not used because they may quote a value.
        (kind, _) => format!("{kind}; check the types of the values"),
    };
    TemplateError { location: format!("{}.template", plan.location), line, column, problem }
}
