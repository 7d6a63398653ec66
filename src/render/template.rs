//! Files made of several objects, by a sandboxed template engine: no files, no network; steps, depth and sizes are
//! bounded.

mod filters;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Object, Value};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, context};

use crate::code::Code;
use crate::deliver::File;
use crate::plan::{ObjectPlan, TemplatePlan, line_and_column};
use crate::secret::SecretBytes;

/// Instructions of the engine for one file.
const FUEL: u64 = 20_000;
/// Nested calls and loops.
const DEEPEST: usize = 50;
/// Bytes of one file, and of the result of a filter.
const LARGEST: usize = 1 << 20;

/// Why a template cannot become a file. Never quotes a value.
#[derive(Debug, thiserror::Error)]
#[error("{location}: line {line}, column {column} of the template: {problem}")]
pub struct TemplateError {
    location: String,
    line: usize,
    column: usize,
    problem: String,
}

impl TemplateError {
    /// The mount's code.
    pub fn code(&self) -> Code {
        Code::InvalidArgument
    }
}

/// The objects of a class, by alias and by name. One that is optional and was left out has no value.
#[derive(Debug, Default)]
pub struct TemplateObjects(BTreeMap<String, Option<Value>>);

impl TemplateObjects {
    /// Adds an object. Its JSON fields have no values yet.
    pub fn add(&mut self, object: &ObjectPlan, value: Option<&SecretBytes>) {
        let value = value.map(value_of);
        for name in [object.path.as_str(), object.name.as_str()] {
            self.0.insert(name.to_owned(), value.clone());
        }
        let paths = object.json_fields.iter().filter_map(|field| field.file.path());
        self.0.extend(paths.map(|path| (path.as_str().to_owned(), None)));
    }

    /// Adds JSON fields of an object, by the paths of their files.
    pub fn add_fields<'a>(&mut self, files: impl Iterator<Item = &'a File>) {
        self.0.extend(files.map(|file| (file.path.as_str().to_owned(), Some(value_of(&file.contents)))));
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
    /// A name that is no object's.
    unknown: Arc<Mutex<Option<String>>>,
}

impl Object for Objects {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        match self.known.0.get(name) {
            Some(value) => value.clone(),
            None => {
                let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
                unknown.get_or_insert_with(|| name.to_owned());
                None
            }
        }
    }
}

/// Makes the file of a template.
///
/// # Errors
/// [`TemplateError`], with line and column.
pub fn render(plan: &TemplatePlan, objects: &Arc<TemplateObjects>) -> Result<File, TemplateError> {
    let mut environment = Environment::empty();
    environment.set_debug(false);
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(DEEPEST);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_formatter(|out, state, value| match value.as_bytes() {
        Some(_) if value.as_str().is_none() => Err(Error::new(ErrorKind::BadEscape, NOT_TEXT)),
        _ => minijinja::escape_formatter(out, state, value),
    });
    filters::add(&mut environment);
    minijinja_tests(&mut environment);
    let unknown = Arc::default();
    let variable = Objects { known: Arc::clone(objects), unknown: Arc::clone(&unknown) };
    let mut limited = Limited(Vec::new());
    let source = plan.source.as_str();
    let rendered = environment.template_from_str(source).and_then(|template| {
        let context = context! { objects => Value::from_object(variable) };
        template.render_captured_to(context, &mut limited).map(|_| ())
    });
    let contents = SecretBytes::new(limited.0);
    rendered.map_err(|error| {
        let unknown = unknown.lock().unwrap_or_else(PoisonError::into_inner).take();
        explained(plan, &error, unknown)
    })?;
    Ok(File { path: plan.path.clone(), mode: plan.mode, contents })
}

const NOT_TEXT: &str = "the object is not text in UTF-8; use the filter b64encode";

/// What an `if` may ask.
fn minijinja_tests(environment: &mut Environment<'_>) {
    environment.add_test("defined", |value: &Value| !value.is_undefined());
}

fn explained(plan: &TemplatePlan, error: &Error, unknown: Option<String>) -> TemplateError {
    let source = plan.source.as_str();
    let (line, column) =
        error.range().map_or((error.line().unwrap_or(1), 1), |range| line_and_column(source, range.start));
    let problem = match (error.kind(), unknown) {
        (ErrorKind::UndefinedError, Some(name)) => format!("no object is called {name:?}; add it to objects"),
        (ErrorKind::UndefinedError, None) => {
            "the value is undefined: an optional object was left out, or the JSON value has no such field; test it \
             with `is defined`, or use the filter default"
                .to_owned()
        }
        (ErrorKind::OutOfFuel, _) => "the template takes too many steps; use a smaller loop".to_owned(),
        (ErrorKind::WriteFailure, _) => format!("the file has more than {LARGEST} bytes; make several files"),
        // Made by the filters here, without a value.
        (ErrorKind::BadEscape, _) => error.detail().unwrap_or_default().to_owned(),
        (ErrorKind::UnknownTest, _) => "only the test `is defined` is supported".to_owned(),
        // Details of the engine may quote a value.
        (kind, _) => format!("{kind}; check the types of the values"),
    };
    TemplateError { location: format!("{}.template", plan.location), line, column, problem }
}

/// Fails beyond [`LARGEST`] bytes.
struct Limited(Vec<u8>);

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LARGEST {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
