//! The `templates` parameter: files that are rendered from several objects.

mod source;

pub(crate) use source::line_and_column;
pub use source::{FILTERS, TemplateSource};

use super::finding::{Fault, Findings, Location, nearest};
use super::known_names::TEMPLATE_FIELDS;
use super::names::{FileMode, RelativePath};
use super::object::ObjectPlan;
use crate::yaml::{self, Budget, Node, Position, Value};

/// Maximum number of templates in one class.
const MAX_TEMPLATES: usize = 100;
/// Maximum size of the parameter in bytes.
const MAX_BYTES: usize = 128 << 10;

const PARAMETER: &str = "templates";
const SHAPE: &str = "write a YAML list of `path` and `template`";

/// A file that is rendered from several objects.
#[derive(Clone, Debug)]
pub struct TemplatePlan {
    /// The location in the request, for example `templates[0]`.
    pub location: String,
    /// The file, relative to the mount.
    pub path: RelativePath,
    /// The file's mode.
    pub mode: FileMode,
    /// The template's text.
    pub source: TemplateSource,
    position: Position,
}

impl TemplatePlan {
    /// The location of the template's path.
    pub(super) fn path_location(&self) -> Location {
        Location { name: format!("{}.path", self.location), position: Some(self.position) }
    }
}

/// Parses the parameter, and adds mistakes to `findings`. `mode` is the default mode of the files.
pub(super) fn parse(
    text: Option<&str>,
    mode: Option<FileMode>,
    objects: &[&ObjectPlan],
    findings: &mut Findings,
) -> Vec<TemplatePlan> {
    let Some(text) = text else { return Vec::new() };
    let Some(items) = findings.take(PARAMETER, list(text)) else { return Vec::new() };
    let mut templates = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        templates.extend(template(index, item, mode, objects, findings));
    }
    templates
}

fn list(text: &str) -> Result<Vec<Node>, Fault> {
    if text.len() > MAX_BYTES {
        let problem = format!("it has {} bytes; the maximum is {MAX_BYTES}", text.len());
        return Err(Fault::new(problem, "split it into several classes and volumes"));
    }
    let node = yaml::parse(text, &mut Budget::default());
    let node = node.map_err(|error| Fault::new(error.problem, error.help).at(error.position))?;
    let Some(Node { value: Value::Sequence(items), .. }) = node else {
        return Err(Fault::new("it is not a list", SHAPE));
    };
    if items.is_empty() {
        return Err(Fault::new("the list is empty", SHAPE));
    }
    if items.len() > MAX_TEMPLATES {
        let problem = format!("the list has {} templates; the maximum is {MAX_TEMPLATES}", items.len());
        return Err(Fault::new(problem, "split it into several classes and volumes"));
    }
    Ok(items)
}

fn template(
    index: usize,
    item: &Node,
    mode: Option<FileMode>,
    objects: &[&ObjectPlan],
    findings: &mut Findings,
) -> Option<TemplatePlan> {
    let location = format!("{PARAMETER}[{index}]");
    let Value::Mapping(entries) = &item.value else {
        let field_location = Location { name: location, position: Some(item.position) };
        findings.error(field_location, Fault::new(format!("it is {}, not a mapping", item.kind()), SHAPE));
        return None;
    };
    for entry in entries.iter().filter(|entry| !TEMPLATE_FIELDS.contains(&entry.key.as_str())) {
        let field_location = Location { name: location.clone(), position: Some(entry.position) };
        findings.unknown(field_location, &entry.key, TEMPLATE_FIELDS);
    }
    let field = |key: &str| {
        let entry = entries.iter().find(|entry| entry.key == key);
        let position = entry.map_or(item.position, |entry| entry.value.position);
        let field_location = Location { name: format!("{location}.{key}"), position: Some(position) };
        (field_location, entry.map(|entry| &entry.value))
    };
    let text = |key: &str, help: &str| {
        let (field_location, value) = field(key);
        let text = match value.map(|value| (value.text(), value.kind())) {
            Some((Some(text), _)) if !text.is_empty() => Ok(text.to_owned()),
            Some((None, kind)) => Err(Fault::new(format!("it is {kind}, not text"), help)),
            Some(_) | None => Err(Fault::new("it is missing", help)),
        };
        (field_location, text)
    };
    let (field_location, path) = text("path", "name the file");
    let position = field_location.position.unwrap_or(item.position);
    let path = findings.take(field_location, path.and_then(|path| RelativePath::parse(&path)));
    let (field_location, mode_text) = field("filePermission");
    let mode = match mode_text.and_then(Node::text).unwrap_or_default() {
        "" => mode,
        text => findings.take(field_location, FileMode::parse_octal(text)),
    };
    let (field_location, template) = text("template", "write the text of the file");
    let source = findings.take(field_location.clone(), template.and_then(TemplateSource::parse));
    if let Some(source) = &source {
        for (name, line, column) in source.objects() {
            check_object(name, (line, column), &field_location, objects, findings);
        }
    }
    Some(TemplatePlan { location, path: path?, mode: mode?, source: source?, position })
}

/// Checks that exactly one object of the class has this alias or name in the vault.
fn check_object(
    name: &str,
    (line, column): (usize, usize),
    field_location: &Location,
    objects: &[&ObjectPlan],
    findings: &mut Findings,
) {
    let has_name = objects.iter().any(|object| object.is_called(name));
    let is_called =
        |object: &&&ObjectPlan| if has_name { object.is_called(name) } else { object.may_have_key(name) };
    let mut named = objects.iter().filter(is_called);
    let at = format!("line {line}, column {column} of the template");
    let fault = match (named.next(), named.next()) {
        (Some(_), None) => return,
        (Some(one), Some(other)) => Fault::new(
            format!("{at}: {} and {} are both called \"{name}\"", one.location, other.location),
            "give each a different objectAlias, and use it in the template",
        ),
        (None, _) => {
            let known = objects.iter().flat_map(|object| [object.path.as_str(), object.name.as_str()]);
            let help = match nearest(name, &known.collect::<Vec<_>>()) {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => "add it to objects, with hidden: true if it needs no separate file".to_owned(),
            };
            Fault::new(format!("{at}: no object is called {}", super::quoted(name)), help)
        }
    };
    findings.error(field_location.clone(), fault);
}
