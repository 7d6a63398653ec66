//! Elements of the parameter `objects`.

use super::super::converted_class::{ClassSources, ConvertedClass};
use super::super::data::{VaultObject, VaultValue};
use super::super::note::Note;
use super::super::store::Vault;
use super::super::write::{scalar, single_quoted};
use crate::plan::{FileMode, quoted};

/// An element of `objects`.
pub(super) struct EntryObject {
    pub(super) object: VaultObject,
    pub(super) hidden: bool,
    /// The alias of the whole object; otherwise the fields.
    pub(super) alias: Option<(String, Option<FileMode>)>,
    pub(super) fields: Vec<EntryField>,
}

/// An element of `jmesPath`.
pub(super) struct EntryField {
    pub(super) path: String,
    pub(super) alias: String,
    pub(super) mode: Option<FileMode>,
}

impl EntryObject {
    /// Whether the provider calls it, or one of its fields, so in templates.
    pub(super) fn is_called(&self, name: &str) -> bool {
        let is_alias = self.alias.as_ref().is_some_and(|(alias, _)| alias == name);
        self.object.name.as_str() == name || is_alias || self.fields.iter().any(|field| field.alias == name)
    }

    /// The name of a value of this element.
    pub(super) fn name_of(&self, value: &VaultValue) -> Option<&str> {
        if !is_same(&self.object, &value.object) {
            return None;
        }
        match &value.field {
            None => self.alias.as_ref().map(|(alias, _)| alias.as_str()),
            Some(path) => {
                self.fields.iter().find(|field| field.path == *path).map(|field| field.alias.as_str())
            }
        }
    }

    pub(super) fn has_every_key(&self) -> bool {
        self.fields.iter().any(|field| field.alias.contains('*'))
    }

    /// The text of the element.
    pub(super) fn write(&self, sources: &ClassSources<'_>, class: &ConvertedClass) -> Result<String, Note> {
        let Self { object, hidden, alias, fields } = self;
        let mut lines = vec![
            ("objectName", object.name.as_str().to_owned()),
            ("objectType", object.kind.name().to_owned()),
        ];
        let mut field = |key, value: Option<String>| lines.extend(value.map(|value| (key, value)));
        let path = alias.as_ref().map(|(path, _)| path.clone());
        field("objectAlias", path.filter(|path| path != object.name.as_str()));
        field("objectVersion", object.version.clone());
        field("objectFormat", object.pfx.then(|| "PFX".to_owned()));
        field("objectEncoding", object.decoded.then(|| "base64".to_owned()));
        let mode = alias.as_ref().and_then(|(_, mode)| *mode);
        field("filePermission", mode.map(|mode| mode.to_string()));
        let is_optional = sources.secret.optional && !class.syncs;
        field("optional", is_optional.then(|| "true".to_owned()));
        field("hidden", hidden.then(|| "true".to_owned()));
        let split = |problem: String| {
            let location = format!("{}.sourceRef.storeRef", object.location);
            Note::lost(location, problem, "move the keys of that store to another ExternalSecret")
        };
        let other = (sources.other_store)(object).map_err(split)?;
        match other.map(|other| &other.vault) {
            None => {}
            Some(Vault::Name(name)) => field("keyvaultName", Some(name.clone())),
            Some(Vault::Url(url)) => {
                return Err(split(format!("an object cannot set its vault by URL ({})", quoted(url))));
            }
        }
        let mut out = String::from("  - |\n");
        for (key, value) in lines {
            let value = if ["optional", "hidden"].contains(&key) { value } else { scalar(&value) };
            out.extend(["    ", key, ": ", &value, "\n"]);
        }
        if !fields.is_empty() {
            out.push_str("    jmesPath:\n");
        }
        for EntryField { path, alias, mode } in fields {
            out.extend(["      - path: ", &single_quoted(path), "\n"]);
            out.extend(["        objectAlias: ", &scalar(alias), "\n"]);
            if let Some(mode) = mode {
                out.extend(["        filePermission: ", &scalar(&mode.to_string()), "\n"]);
            }
        }
        Ok(out)
    }
}

/// Whether two elements of an `ExternalSecret` have the same object of the vault.
pub(super) fn is_same(one: &VaultObject, other: &VaultObject) -> bool {
    let unplaced = |object: &VaultObject| VaultObject {
        location: String::new(),
        alias: String::new(),
        ..object.clone()
    };
    unplaced(one) == unplaced(other)
}
