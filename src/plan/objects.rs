//! The `objects` parameter: which objects, into which files.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::attributes::boolean;
use super::cloud::{VaultSuffix, VaultUrl};
use super::finding::{Fault, Findings, nearest, quoted};
use super::names::{FileMode, ObjectName, ObjectVersion, RelativePath, VaultName};
use super::object::{Encoding, Format, History, ObjectKind, ObjectPlan};
use super::paths;
use crate::yaml::{self, Budget, Entry, Node, Value, YamlError};

const FIELDS: &[&str] = &[
    "filePermission",
    "keyvaultName",
    "objectAlias",
    "objectEncoding",
    "objectFormat",
    "objectName",
    "objectType",
    "objectVersion",
    "objectVersionHistory",
    "optional",
];

/// What objects inherit from the request.
pub(super) struct Inherited<'a> {
    pub vault: Option<&'a VaultUrl>,
    /// Set when an object has no vault of its own.
    pub vault_needed: Cell<bool>,
    /// The class's failover vault.
    pub failover: Option<&'a VaultUrl>,
    /// The operator's.
    pub failover_vaults: &'a BTreeMap<VaultName, VaultName>,
    pub suffix: Option<&'a VaultSuffix>,
    pub mode: Option<FileMode>,
}

/// Reads the parameter; mistakes go to `findings`.
pub(super) fn parse(
    text: Option<&str>,
    inherited: &Inherited<'_>,
    findings: &mut Findings,
) -> Vec<ObjectPlan> {
    let mut budget = Budget::default();
    let Some(items) = findings.take("objects", list(text, &mut budget)) else { return Vec::new() };
    let mut objects = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let place = format!("objects[{index}]");
        let fields = match findings.take(&place, fields(item, &mut budget)) {
            Some(entries) => Fields { place, entries },
            None => continue,
        };
        objects.extend(fields.object(inherited, findings));
    }
    let files = objects.iter().map(|object| object.history.map_or(1, History::count)).sum::<usize>();
    if files > MOST_OBJECTS {
        let problem = format!("they make {files} files with their histories, and {MOST_OBJECTS} are allowed");
        findings.error("objects", Fault::new(problem, "split them into several classes and volumes"));
    } else {
        paths::check(&objects, findings);
    }
    objects
}

/// Far more than anybody mounts. It bounds what one class can make this process hold and do.
const MOST_OBJECTS: usize = 1000;

/// Bytes of the parameter. A parser holds many times what it reads.
const LONGEST: usize = 128 << 10;

const SHAPE: &str = "write a YAML list of objects, or `array:` with one";

fn list(text: Option<&str>, budget: &mut Budget) -> Result<Vec<Node>, Fault> {
    let Some(text) = text else {
        return Err(Fault::new("the parameter is missing", SHAPE));
    };
    if text.len() > LONGEST {
        let problem = format!("it is too large, {} bytes of at most {LONGEST}", text.len());
        return Err(Fault::new(problem, "split it into several classes and volumes"));
    }
    if text.contains('\0') {
        return Err(Fault::new("it holds a NUL byte", "remove it"));
    }
    let items = match yaml::parse(text, budget).map_err(fault)?.map(|node| node.value) {
        Some(Value::Sequence(items)) => items,
        Some(Value::Mapping(entries)) => {
            let known = entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>();
            let hint = nearest("array", &known).filter(|key| *key != "array").map(str::to_owned);
            match entries.into_iter().find(|entry| entry.key == "array").map(|entry| entry.value) {
                Some(Node { value: Value::Sequence(items), .. }) => items,
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
    if items.is_empty() {
        return Err(Fault::new("the list is empty", "name at least one object"));
    }
    if items.len() > MOST_OBJECTS {
        let problem = format!("the list has {} objects, and {MOST_OBJECTS} are allowed", items.len());
        return Err(Fault::new(problem, "split it into several classes and volumes"));
    }
    Ok(items)
}

/// The fields of one element: a mapping, or text that is one.
fn fields(item: Node, budget: &mut Budget) -> Result<Vec<(String, String)>, Fault> {
    let node = match item.text() {
        Some(text) => yaml::parse(text, budget).map_err(fault)?.unwrap_or(item),
        None => item,
    };
    let kind = node.kind();
    let Value::Mapping(entries) = node.value else {
        return Err(Fault::new(
            format!("it is {kind}, not an object"),
            "write `objectName: …` and `objectType: secret`",
        ));
    };
    entries
        .into_iter()
        .map(|Entry { key, value, .. }| match value.text() {
            Some(text) => Ok((key, text.trim().to_owned())),
            // An unknown field may be of any shape; it is warned of, not read.
            None if !FIELDS.contains(&key.as_str()) => Ok((key, String::new())),
            None => Err(Fault::new(format!("{key} is {}, not text", value.kind()), "give a single value")),
        })
        .collect()
}

fn fault(error: YamlError) -> Fault {
    let YamlError { position, problem, mend } = error;
    Fault::new(format!("line {}, column {}: {problem}", position.line, position.column), mend)
}

struct Fields {
    place: String,
    entries: Vec<(String, String)>,
}

impl Fields {
    fn text(&self, field: &str) -> &str {
        self.entries.iter().find(|(key, _)| key == field).map_or("", |(_, value)| value)
    }

    fn place(&self, field: &str) -> String {
        format!("{}.{field}", self.place)
    }

    /// Parses a field, or reports its fault at its place.
    fn take<T>(
        &self,
        field: &str,
        findings: &mut Findings,
        parse: impl Fn(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        findings.take(&self.place(field), parse(self.text(field)))
    }

    fn object(self, inherited: &Inherited<'_>, findings: &mut Findings) -> Option<ObjectPlan> {
        for (key, _) in &self.entries {
            if !FIELDS.contains(&key.as_str()) {
                findings.unknown(&self.place, key, FIELDS);
            }
        }
        let name = self.name(findings);
        let kind = self.take("objectType", findings, ObjectKind::parse);
        let history = self.take("objectVersionHistory", findings, History::parse);
        let path = if self.text("objectAlias").is_empty() {
            name.as_ref().and_then(|name| RelativePath::parse(name.as_str()).ok())
        } else {
            self.take("objectAlias", findings, RelativePath::parse)
        };
        let version = self.take("objectVersion", findings, ObjectVersion::parse);
        let encoding = self.take("objectEncoding", findings, Encoding::parse);
        let format = self.take("objectFormat", findings, Format::parse);
        if let Some(kind) = kind {
            self.check_secret_only(kind, encoding, format, findings);
        }
        let mode = if self.text("filePermission").is_empty() {
            inherited.mode
        } else {
            self.take("filePermission", findings, FileMode::parse_octal)
        };
        let optional = self.take("optional", findings, boolean);
        let vault = self.vault(inherited, findings);
        let failover = self.failover(vault.as_ref(), inherited, findings);
        Some(ObjectPlan {
            place: self.place,
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
        })
    }

    fn name(&self, findings: &mut Findings) -> Option<ObjectName> {
        if self.text("objectName").is_empty() {
            findings
                .error(self.place("objectName"), Fault::new("it is missing", "name the object in the vault"));
            return None;
        }
        self.take("objectName", findings, ObjectName::parse)
    }

    /// What only a secret's text can be asked for.
    fn check_secret_only(
        &self,
        kind: ObjectKind,
        encoding: Option<Encoding>,
        format: Option<Format>,
        findings: &mut Findings,
    ) {
        let only =
            |field: &str| Fault::new(format!("a {kind} has no {field}"), "only secrets have; remove it");
        if kind != ObjectKind::Secret {
            if matches!(encoding, Some(Encoding::Base64 | Encoding::Hex)) {
                findings.error(self.place("objectEncoding"), only("encoding"));
            }
            if format == Some(Format::Pfx) {
                findings.error(self.place("objectFormat"), only("PFX format"));
            }
        }
    }

    /// The class's failover vault for the class's vault, or the one that the operator has for `vault`.
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
        findings.take(&self.place("keyvaultName"), vault.beside(replica))
    }

    fn vault(&self, inherited: &Inherited<'_>, findings: &mut Findings) -> Option<VaultUrl> {
        if self.text("keyvaultName").is_empty() {
            inherited.vault_needed.set(true);
            return inherited.vault.cloned();
        }
        let name = self.take("keyvaultName", findings, VaultName::parse)?;
        // Without a suffix the cloud is wrong, and that has been reported.
        findings.take(&self.place("keyvaultName"), VaultUrl::of(&name, inherited.suffix?))
    }
}
