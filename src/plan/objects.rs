//! The `objects` parameter: the objects to fetch, and their files.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::attributes::boolean;
use super::cloud::{VaultSuffix, VaultUrl};
use super::finding::{Fault, Findings, Location, Severity, nearest, quoted};
use super::json_fields::{FieldFile, JmesPath, JsonField};
use super::known_names::{FIELDS, JSON_FIELDS};
use super::names::{FileMode, ObjectName, ObjectVersion, RelativePath, VaultName};
use super::object::{History, ObjectEncoding, ObjectFormat, ObjectKind, ObjectPlan};
use super::paths::{self, PathClaim, PathConflict};
use super::templates::TemplatePlan;
use crate::yaml::{self, Budget, Entry, Node, Position, ScalarStyle, Value, YamlError};

/// Values that objects inherit from the request.
pub(super) struct Inherited<'a> {
    pub vault: Option<&'a VaultUrl>,
    /// Set when an object names no vault.
    pub vault_needed: Cell<bool>,
    /// The class's failover vault.
    pub failover: Option<&'a VaultUrl>,
    /// The operator's failover vaults.
    pub failover_vaults: &'a BTreeMap<VaultName, VaultName>,
    pub suffix: Option<&'a VaultSuffix>,
    pub mode: Option<FileMode>,
}

/// Parses the parameter, and adds mistakes to `findings`.
pub(super) fn parse(
    text: Option<&str>,
    inherited: &Inherited<'_>,
    findings: &mut Findings,
) -> Vec<ParsedObject> {
    let mut budget = Budget::default();
    let Some(items) = findings.take("objects", list(text, &mut budget)) else { return Vec::new() };
    let mut objects = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let name = format!("objects[{index}]");
        let start = item.position;
        let location = Location { name: name.clone(), position: Some(start) };
        if is_null(&item) {
            findings.warning(location, Fault::new("the list item is empty and is skipped", "remove it"));
            continue;
        }
        let Some(entries) = findings.take(location, fields(item, &mut budget)) else { continue };
        let fields = ObjectFields { location: name, start, entries };
        if let Some(plan) = fields.object(inherited, findings) {
            objects.push(ParsedObject { plan, fields });
        }
    }
    objects
}

/// Checks the paths of all files of objects and templates.
pub(super) fn check_paths(objects: &[ParsedObject], templates: &[TemplatePlan], findings: &mut Findings) {
    let of_templates = templates.iter().map(|template| {
        let claim = PathClaim { path: &template.path, history: None, location: &template.location };
        (claim, template.path_location())
    });
    let claims = objects.iter().flat_map(ParsedObject::claims).chain(of_templates).collect::<Vec<_>>();
    for PathConflict { index, severity, fault } in paths::conflicts(claims.iter().map(|(claim, _)| *claim)) {
        let Some((_, location)) = claims.get(index) else { continue };
        match severity {
            Severity::Error => findings.error(location.clone(), fault),
            Severity::Warning => findings.warning(location.clone(), fault),
        }
    }
    if claims.len() > MAX_OBJECTS {
        let problem = format!("they define {} files; the maximum is {MAX_OBJECTS}", claims.len());
        findings.error("objects", Fault::new(problem, "split them into several classes and volumes"));
    }
}

/// Whether a list item is a YAML null (`-`, `- ~`, `- null`). An empty text in quotes is not a null.
fn is_null(item: &Node) -> bool {
    matches!(&item.value, Value::Scalar(scalar) if scalar.style == ScalarStyle::Plain && scalar.text().is_empty())
}

/// Maximum number of objects in one class. Bounds the memory and time that a class can use.
const MAX_OBJECTS: usize = 1000;

/// Maximum size of the parameter in bytes. The parser's memory is a multiple of it.
const MAX_BYTES: usize = 128 << 10;

const SHAPE: &str = "write a YAML list of objects, or `array:` with one";

fn list(text: Option<&str>, budget: &mut Budget) -> Result<Vec<Node>, Fault> {
    let Some(text) = text else {
        return Err(Fault::new("the parameter is missing", SHAPE));
    };
    if text.len() > MAX_BYTES {
        let problem = format!("it is too large, {} bytes; the maximum is {MAX_BYTES}", text.len());
        return Err(Fault::new(problem, "split it into several classes and volumes"));
    }
    if text.contains('\0') {
        return Err(Fault::new("it contains a NUL byte", "remove it"));
    }
    let items = match yaml::parse(text, budget).map_err(fault)?.map(|node| node.value) {
        Some(Value::Sequence(items)) => items,
        Some(Value::Mapping(entries)) => {
            let known = entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>();
            let hint = nearest("array", &known).filter(|key| *key != "array").map(str::to_owned);
            match entries.into_iter().find(|entry| entry.key == "array").map(|entry| entry.value) {
                Some(Node { value: Value::Sequence(items), .. }) => items,
                // The output of a template's loop over an empty list, or a list with only comments.
                Some(other) if other.text() == Some("") => Vec::new(),
                Some(other) => {
                    return Err(Fault::new(format!("`array` is {}, not a list", other.kind()), SHAPE));
                }
                None => {
                    let problem = match hint {
                        Some(key) => format!("there is no `array`, but {}", quoted(&key)),
                        None => "there is no `array`".to_owned(),
                    };
                    return Err(Fault::new(problem, SHAPE));
                }
            }
        }
        Some(Value::Scalar(_)) => return Err(Fault::new("it is text, not a list", SHAPE)),
        None => return Err(Fault::new("it is empty", SHAPE)),
    };
    if items.iter().all(is_null) {
        return Err(Fault::new("the list is empty", "name at least one object"));
    }
    if items.len() > MAX_OBJECTS {
        let problem = format!("the list has {} objects; the maximum is {MAX_OBJECTS}", items.len());
        return Err(Fault::new(problem, "split it into several classes and volumes"));
    }
    Ok(items)
}

/// The fields of one element, which is a mapping or the YAML text of a mapping.
fn fields(item: Node, budget: &mut Budget) -> Result<Vec<Field>, Fault> {
    let Node { position: start, end, value } = item;
    let (node, text) = match value {
        Value::Scalar(text) => (yaml::parse(text.text(), budget), Some(text)),
        value => (Ok(Some(Node { position: start, end, value })), None),
    };
    let outer = |inner: Position| text.as_ref().map_or(inner, |text| text.locate(inner).unwrap_or(start));
    let node = node.map_err(|error| fault(YamlError { position: outer(error.position), ..error }))?;
    let kind = node.as_ref().map_or("nothing", Node::kind);
    let Some(Node { value: Value::Mapping(entries), .. }) = node else {
        let problem = format!("it is {kind}, not an object");
        return Err(Fault::new(problem, "write `objectName: …` and `objectType: secret`"));
    };
    let field = |Entry { key, position, value }: Entry| {
        let (mut text, mut items) = (String::new(), Vec::new());
        match &value.value {
            Value::Scalar(scalar) => {
                scalar.text().trim().clone_into(&mut text);
                if key == JMES_PATH && !text.is_empty() {
                    return Err(Fault::new(format!("{key} is text, not a list"), JMES_PATH_SHAPE));
                }
            }
            Value::Sequence(list) if key == JMES_PATH => items = sub_items(list, &outer)?,
            // The value of an unknown field is not used, so it may have any type.
            Value::Sequence(_) | Value::Mapping(_) if !FIELDS.contains(&key.as_str()) => {}
            Value::Sequence(_) | Value::Mapping(_) if key == JMES_PATH => {
                return Err(Fault::new(format!("{key} is {}, not a list", value.kind()), JMES_PATH_SHAPE));
            }
            Value::Sequence(_) | Value::Mapping(_) => {
                return Err(Fault::new(format!("{key} is {}, not text", value.kind()), "use a single value"));
            }
        }
        Ok(Field { key, key_position: outer(position), text, position: outer(value.position), items })
    };
    entries.into_iter().map(field).collect()
}

const JMES_PATH: &str = "jmesPath";
const JMES_PATH_SHAPE: &str = "write a list of `path` and `objectAlias`";

/// The elements of a field that is a list of mappings.
fn sub_items(list: &[Node], outer: &dyn Fn(Position) -> Position) -> Result<Vec<ObjectFields>, Fault> {
    let item = |(index, node): (usize, &Node)| {
        let Value::Mapping(entries) = &node.value else {
            let problem = format!("{JMES_PATH}[{index}] is {}, not a mapping", node.kind());
            return Err(Fault::new(problem, JMES_PATH_SHAPE).at(outer(node.position)));
        };
        let field = |Entry { key, position, value }: &Entry| Field {
            key: key.clone(),
            key_position: outer(*position),
            text: value.text().unwrap_or_default().trim().to_owned(),
            position: outer(value.position),
            items: Vec::new(),
        };
        let entries = entries.iter().map(field).collect();
        Ok(ObjectFields { location: format!("{JMES_PATH}[{index}]"), start: outer(node.position), entries })
    };
    list.iter().enumerate().map(item).collect()
}

fn fault(error: YamlError) -> Fault {
    Fault::new(error.problem, error.help).at(error.position)
}

/// An object of the plan, with the positions of its fields in the parameter.
#[derive(Debug)]
pub struct ParsedObject {
    /// The planned object.
    pub plan: ObjectPlan,
    fields: ObjectFields,
}

impl ParsedObject {
    /// The position of a field's value in the parameter; `None` if the field is missing or empty.
    pub fn position(&self, field: &str) -> Option<Position> {
        self.fields.field(field).filter(|field| !field.text.is_empty()).map(|field| field.position)
    }

    /// The object's files, each with the location of its name.
    fn claims(&self) -> Vec<(PathClaim<'_>, Location)> {
        let ObjectPlan { path, history, location, json_fields, hidden, .. } = &self.plan;
        if *hidden {
            return Vec::new();
        }
        if json_fields.is_empty() {
            let position = self.position("objectAlias").or(self.position("objectName"));
            let claim = PathClaim { path, history: *history, location };
            return vec![(claim, Location { name: location.clone(), position })];
        }
        let items = self.fields.field(JMES_PATH).map_or(&[][..], |field| &field.items);
        let claims = json_fields.iter().zip(items).filter_map(|(field, item)| {
            let claim = PathClaim { path: field.file.path()?, history: None, location: &field.location };
            let position = item.field("objectAlias").map(|alias| alias.position);
            Some((claim, Location { name: field.location.clone(), position }))
        });
        claims.collect()
    }
}

#[derive(Debug)]
struct ObjectFields {
    location: String,
    start: Position,
    entries: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    key: String,
    key_position: Position,
    text: String,
    position: Position,
    /// The elements of a list.
    items: Vec<ObjectFields>,
}

impl ObjectFields {
    fn field(&self, key: &str) -> Option<&Field> {
        self.entries.iter().find(|field| field.key == key)
    }

    fn text(&self, key: &str) -> &str {
        self.field(key).map_or("", |field| &field.text)
    }

    fn location(&self, key: &str) -> Location {
        let position = self.field(key).map_or(self.start, |field| field.position);
        Location { name: format!("{}.{key}", self.location), position: Some(position) }
    }

    /// Parses a field, or reports its fault at its location.
    fn take<T>(
        &self,
        field: &str,
        findings: &mut Findings,
        parse: impl Fn(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        parse(self.text(field)).map_err(|fault| findings.error(self.location(field), fault)).ok()
    }

    fn object(&self, inherited: &Inherited<'_>, findings: &mut Findings) -> Option<ObjectPlan> {
        for field in self.entries.iter().filter(|field| !FIELDS.contains(&field.key.as_str())) {
            let location = Location { name: self.location.clone(), position: Some(field.key_position) };
            findings.unknown(location, &field.key, FIELDS);
        }
        let name = self.name(findings);
        let kind = self.take("objectType", findings, ObjectKind::parse);
        let history = self.take("objectVersionHistory", findings, History::parse);
        let path = if self.text("objectAlias").is_empty() {
            name.as_ref().and_then(|name| RelativePath::parse(name.as_str()).ok())
        } else if matches!(history, Some(Some(_))) {
            self.take("objectAlias", findings, RelativePath::parse_folder)
        } else {
            self.take("objectAlias", findings, RelativePath::parse)
        };
        let version = self.take("objectVersion", findings, ObjectVersion::parse);
        let encoding = self.take("objectEncoding", findings, ObjectEncoding::parse);
        let format = self.take("objectFormat", findings, ObjectFormat::parse);
        if let Some(kind) = kind {
            self.check_secret_only(kind, encoding, format, findings);
        }
        let mode = if self.text("filePermission").is_empty() {
            inherited.mode
        } else {
            self.take("filePermission", findings, FileMode::parse_octal)
        };
        let optional = self.take("optional", findings, boolean);
        let hidden = self.take("hidden", findings, boolean);
        let json_fields = self.json_fields(mode, findings);
        let vault = self.vault(inherited, findings);
        let failover = self.failover(vault.as_ref(), inherited, findings);
        Some(ObjectPlan {
            location: self.location.clone(),
            failover,
            vault: vault?,
            optional: optional?,
            kind: kind?,
            name: name?,
            version: version?,
            history: history?,
            path: path?,
            mode: mode?,
            encoding: encoding?,
            format: format?,
            hidden: hidden?,
            json_fields: json_fields?,
        })
    }

    /// The fields of a JSON secret to write as files. `mode` is the default mode of the files.
    fn json_fields(&self, mode: Option<FileMode>, findings: &mut Findings) -> Option<Vec<JsonField>> {
        let Some(field) = self.field(JMES_PATH) else { return Some(Vec::new()) };
        if field.items.is_empty() {
            findings.error(self.location(JMES_PATH), Fault::new("the list is empty", JMES_PATH_SHAPE));
            return None;
        }
        let kind = self.text("objectType");
        if matches!(kind, "key" | "cert") {
            let problem = format!("a {kind} has no JSON fields");
            findings
                .error(self.location(JMES_PATH), Fault::new(problem, "remove it; only secrets have them"));
        }
        for other in ["objectAlias", "objectFormat", "objectVersionHistory"] {
            if !self.text(other).is_empty() {
                let problem = "it cannot be combined with jmesPath, which defines the files";
                findings
                    .error(self.location(other), Fault::new(problem, "remove it, or list the object twice"));
            }
        }
        let items = field.items.iter().map(|item| item.json_field(&self.location, mode, findings));
        items.collect::<Vec<_>>().into_iter().collect()
    }

    fn json_field(&self, object: &str, mode: Option<FileMode>, findings: &mut Findings) -> Option<JsonField> {
        let location = format!("{object}.{}", self.location);
        let location_of = |key: &str| {
            let position = self.field(key).map_or(self.start, |field| field.position);
            Location { name: format!("{location}.{key}"), position: Some(position) }
        };
        for field in self.entries.iter().filter(|field| !JSON_FIELDS.contains(&field.key.as_str())) {
            let unknown = Location { name: location.clone(), position: Some(field.key_position) };
            findings.unknown(unknown, &field.key, JSON_FIELDS);
        }
        let expression = findings.take(location_of("path"), JmesPath::parse(self.text("path")));
        let alias = self.text("objectAlias");
        let file = if alias.is_empty() {
            Err(Fault::new("it is missing", "name the file of this field"))
        } else {
            FieldFile::parse(alias)
        };
        let file = findings.take(location_of("objectAlias"), file);
        let mode = match self.text("filePermission") {
            "" => mode,
            text => findings.take(location_of("filePermission"), FileMode::parse_octal(text)),
        };
        Some(JsonField { location, expression: expression?, file: file?, mode: mode? })
    }

    fn name(&self, findings: &mut Findings) -> Option<ObjectName> {
        if self.text("objectName").is_empty() {
            findings.error(
                self.location("objectName"),
                Fault::new("it is missing", "name the object in the vault"),
            );
            return None;
        }
        self.take("objectName", findings, ObjectName::parse)
    }

    /// Reports fields that only secrets may have.
    fn check_secret_only(
        &self,
        kind: ObjectKind,
        encoding: Option<ObjectEncoding>,
        format: Option<ObjectFormat>,
        findings: &mut Findings,
    ) {
        let only =
            |field: &str| Fault::new(format!("a {kind} has no {field}"), "remove it; only secrets have one");
        if kind != ObjectKind::Secret {
            if matches!(encoding, Some(ObjectEncoding::Base64 | ObjectEncoding::Hex)) {
                findings.error(self.location("objectEncoding"), only("encoding"));
            }
            // The Go provider refuses only this spelling. It ignores `PFX`, the spelling in its documentation.
            if self.text("objectFormat") == "pfx" {
                findings.error(self.location("objectFormat"), only("PFX format"));
            } else if format == Some(ObjectFormat::Pfx) {
                let problem = format!("it has no effect: a {kind} is always written as PEM");
                let fault =
                    Fault::new(problem, "remove it, or set objectType: secret to get the PKCS#12 file");
                findings.warning(self.location("objectFormat"), fault);
            }
        }
    }

    /// The class's failover vault if the object uses the class's vault; otherwise the operator's failover vault for
    /// `vault`.
    fn failover(
        &self,
        vault: Option<&VaultUrl>,
        inherited: &Inherited<'_>,
        findings: &mut Findings,
    ) -> Option<VaultUrl> {
        let inherits = self.text("keyvaultName").is_empty();
        if let Some(failover) = inherited.failover.filter(|_| inherits) {
            return Some(failover.clone());
        }
        let vault = vault?;
        let replica = inherited.failover_vaults.get(&vault.name()?)?;
        findings.take(self.location("keyvaultName"), vault.with_name(replica))
    }

    fn vault(&self, inherited: &Inherited<'_>, findings: &mut Findings) -> Option<VaultUrl> {
        if self.text("keyvaultName").is_empty() {
            inherited.vault_needed.set(true);
            return inherited.vault.cloned();
        }
        let name = self.take("keyvaultName", findings, VaultName::parse)?;
        // Without a suffix, the cloud is invalid, and that has been reported.
        findings.take(self.location("keyvaultName"), VaultUrl::of(&name, inherited.suffix?))
    }
}
