//! The `objects` parameter: which objects, into which files.

use std::cell::Cell;

use super::cloud::{VaultSuffix, VaultUrl};
use super::finding::{Fault, Findings, nearest, quoted};
use super::names::{FileMode, ObjectName, ObjectVersion, RelativePath, VaultName};
use super::yaml::{self, Budget, Node};

/// How the stored text of a secret becomes bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Utf8,
    /// Standard base64, decoded.
    Base64,
    /// Hexadecimal digits, decoded.
    Hex,
}

impl Encoding {
    fn parse(text: &str) -> Result<Self, Fault> {
        match text.to_ascii_lowercase().as_str() {
            "" | "utf-8" => Ok(Self::Utf8),
            "base64" => Ok(Self::Base64),
            "hex" => Ok(Self::Hex),
            _ => Err(Fault::new(format!("{} is not an encoding", quoted(text)), "use utf-8, base64 or hex")),
        }
    }
}

/// In which form a secret that backs a certificate is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// PEM, whatever the vault holds.
    Pem,
    /// The PKCS#12 text of the vault, untouched.
    Pfx,
}

impl Format {
    fn parse(text: &str) -> Result<Self, Fault> {
        match text.to_ascii_lowercase().as_str() {
            "" | "pem" => Ok(Self::Pem),
            "pfx" => Ok(Self::Pfx),
            _ => Err(Fault::new(format!("{} is not a format", quoted(text)), "use PEM or PFX")),
        }
    }
}

/// One object of the plan: a secret, and the file it becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectPlan {
    /// Where the request names it: `objects[2]`.
    pub place: String,
    /// The vault that holds it.
    pub vault: VaultUrl,
    /// Its name there.
    pub name: ObjectName,
    /// The version wanted.
    pub version: ObjectVersion,
    /// The file, relative to the mount.
    pub path: RelativePath,
    /// The file's mode.
    pub mode: FileMode,
    /// How its text becomes bytes.
    pub encoding: Encoding,
    /// In which form a certificate is written.
    pub format: Format,
}

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
];

/// What objects inherit from the request.
pub(super) struct Inherited<'a> {
    pub vault: Option<&'a VaultUrl>,
    /// Set when an object has no vault of its own.
    pub vault_needed: Cell<bool>,
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
    check_paths(&objects, findings);
    objects
}

/// Far more than anybody mounts. It bounds what one class can make this process hold and do.
const MOST_OBJECTS: usize = 1000;

const SHAPE: &str = "write a YAML list of objects, or `array:` with one";

fn list(text: Option<&str>, budget: &mut Budget) -> Result<Vec<Node>, Fault> {
    let Some(text) = text else {
        return Err(Fault::new("the parameter is missing", SHAPE));
    };
    if text.contains('\0') {
        return Err(Fault::new("it holds a NUL byte", "remove it"));
    }
    let items = match yaml::parse(text, budget)? {
        Some(Node::Sequence(items)) => items,
        Some(Node::Mapping(entries)) => {
            let known = entries.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>();
            let hint = nearest("array", &known).filter(|key| *key != "array").map(str::to_owned);
            match entries.into_iter().find(|(key, _)| key == "array") {
                Some((_, Node::Sequence(items))) => items,
                Some((_, other)) => {
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
        Some(Node::Scalar(_)) => return Err(Fault::new("it is text, not a list", SHAPE)),
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
    let node = match item {
        Node::Scalar(text) => yaml::parse(&text, budget)?.unwrap_or(Node::Scalar(String::new())),
        node => node,
    };
    let Node::Mapping(entries) = node else {
        return Err(Fault::new(
            format!("it is {}, not an object", node.kind()),
            "write `objectName: …` and `objectType: secret`",
        ));
    };
    entries
        .into_iter()
        .map(|(key, value)| match value {
            Node::Scalar(text) => Ok((key, text.trim().to_owned())),
            // An unknown field may be of any shape; it is warned of, not read.
            _ if !FIELDS.contains(&key.as_str()) => Ok((key, String::new())),
            other => Err(Fault::new(format!("{key} is {}, not text", other.kind()), "give a single value")),
        })
        .collect()
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
        self.kind(findings);
        self.history(findings);
        let path = if self.text("objectAlias").is_empty() {
            name.as_ref().and_then(|name| RelativePath::parse(name.as_str()).ok())
        } else {
            self.take("objectAlias", findings, RelativePath::parse)
        };
        let version = self.take("objectVersion", findings, ObjectVersion::parse);
        let encoding = self.take("objectEncoding", findings, Encoding::parse);
        let format = self.take("objectFormat", findings, Format::parse);
        let mode = if self.text("filePermission").is_empty() {
            inherited.mode
        } else {
            self.take("filePermission", findings, FileMode::parse_octal)
        };
        let vault = self.vault(inherited, findings);
        Some(ObjectPlan {
            place: self.place,
            vault: vault?,
            name: name?,
            version: version?,
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

    fn kind(&self, findings: &mut Findings) {
        let fault = match self.text("objectType") {
            "secret" => return,
            "" => Fault::new("it is missing", "write `objectType: secret`"),
            "key" | "cert" => Fault::new(
                "keys and certificates are not supported yet",
                "mount them with the Go provider until they are",
            ),
            other => {
                Fault::new(format!("{} is not an object type", quoted(other)), "use secret, key or cert")
            }
        };
        findings.error(self.place("objectType"), fault);
    }

    fn history(&self, findings: &mut Findings) {
        let text = self.text("objectVersionHistory");
        let fault = match text.parse::<u32>() {
            _ if text.is_empty() => return,
            Ok(0 | 1) => return,
            Ok(_) => Fault::new("a history of versions is not supported yet", "name versions one by one"),
            Err(_) => Fault::new(format!("{} is not a number", quoted(text)), "give the number of versions"),
        };
        findings.error(self.place("objectVersionHistory"), fault);
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

/// A path given twice is a warning, since the driver lets the last win; a file that is another's
/// folder cannot be written at all.
fn check_paths(objects: &[ObjectPlan], findings: &mut Findings) {
    let mut sorted = objects.iter().collect::<Vec<_>>();
    // Stable, and with the separator before every other byte: what lies in a folder follows it.
    sorted.sort_by(|one, other| separator_first(&one.path).cmp(separator_first(&other.path)));
    let mut folders: Vec<&ObjectPlan> = Vec::new();
    for object in sorted {
        let path = quoted(object.path.as_str());
        while folders
            .last()
            .is_some_and(|last| last.path != object.path && !last.path.is_folder_of(&object.path))
        {
            folders.pop();
        }
        match folders.last() {
            Some(last) if last.path == object.path => {
                let problem = format!("{path} is also the file of {}", last.place);
                let mend = "the last one wins; give each its own objectAlias";
                findings.warning(&object.place, Fault::new(problem, mend));
            }
            Some(folder) => {
                let problem = format!(
                    "{path} lies inside {}, which is the file of {}",
                    quoted(folder.path.as_str()),
                    folder.place
                );
                findings.error(&object.place, Fault::new(problem, "change one objectAlias"));
                continue;
            }
            None => {}
        }
        folders.push(object);
    }
}

fn separator_first(path: &RelativePath) -> impl Iterator<Item = u8> {
    path.as_str().bytes().map(|byte| if byte == b'/' { 0 } else { byte })
}
