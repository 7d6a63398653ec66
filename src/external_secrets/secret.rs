//! Parses an `ExternalSecret`.

use std::time::Duration;

use super::data::{self, KeyItem, StoreRef, text};
use super::extract;
use super::input::InputDocument;
use super::metadata::{Pairs, is_bookkeeping, pairs};
use super::note::Note;
use super::unrendered::{refuse_template, refuse_templates_below};
use super::{edit, schema, templated};
use crate::manifest::ManifestObject;
use crate::plan::quoted;
use crate::secret_rules::{self, SecretType, TLS};
use crate::yaml::{Node, Position};

/// The parts of an `ExternalSecret` that become a `SecretProviderClass`.
#[derive(Clone, Debug)]
pub(super) struct ExternalSecret {
    pub name: String,
    pub namespace: Option<String>,
    /// The name of the Secret that it creates.
    pub target_name: String,
    /// The Secret's type.
    pub kind: String,
    /// Labels and annotations of the Secret.
    pub labels: Pairs,
    pub annotations: Pairs,
    /// Labels and annotations of the `ExternalSecret`.
    pub own_labels: Pairs,
    pub own_annotations: Pairs,
    pub store: StoreRef,
    /// `rotationMaxAge`
    pub max_age: String,
    /// Whether objects may be missing in the vault.
    pub optional: bool,
    pub items: Vec<KeyItem>,
    /// Notes on the whole `ExternalSecret`.
    pub notes: Vec<Note>,
    pub comments: Vec<String>,
}

impl ExternalSecret {
    /// # Errors
    /// The reason why it cannot be converted.
    pub(super) fn parse(document: &InputDocument<'_>, object: &ManifestObject) -> Result<Self, Note> {
        let mut notes = Vec::new();
        let root = &object.root;
        let name = object.name.clone().unwrap_or_default();
        let spec = root.at(&["spec"]).ok_or_else(|| Note::lost("spec", "it is missing", "add it"))?;
        refuse_template("metadata.name", object.name.as_deref())?;
        refuse_template("metadata.namespace", object.namespace.as_deref())?;
        refuse_templates_below("spec", spec)?;
        schema::check("spec", spec, schema::EXTERNAL_SECRET, &mut notes);
        let target = spec.at(&["target"]);
        target.map_or(Ok(()), check_target)?;
        let field = |keys: &[&str]| target.and_then(|target| text(target, keys));
        let store = spec.at(&["secretStoreRef"]).and_then(StoreRef::parse);
        let store = store.or_else(|| only_store(spec)).ok_or_else(|| {
            Note::lost(
                "spec.secretStoreRef",
                "it names no store",
                "name the SecretStore or ClusterSecretStore of Azure Key Vault",
            )
        })?;
        let mut items = items(document, spec);
        let template = target.and_then(|target| target.at(&["template"]));
        if let Some(template) = template {
            items = templated::items(template, items, &mut notes);
        }
        if items.iter().all(|item| item.values().next().is_none()) {
            return Err(no_convertible_key(&items, &notes));
        }
        let kind = kind(templated::kind(template), &items, &mut notes);
        if has_sync_windows(spec) {
            let problem =
                "the operator refreshes the Secret only in these windows, and the driver has no sync windows";
            let help = "turn off the driver's rotation, or accept changes at any time";
            notes.push(Note::lost("spec.syncWindows", problem, help));
        }
        if field(&["immutable"]) == Some("true") {
            let help = "use RBAC to let only the driver write the Secret";
            notes.push(Note::lost(
                "spec.target.immutable",
                "the driver updates its Secrets on rotation",
                help,
            ));
        }
        let metadata = |keys: &[&str]| root.at(keys).map(pairs).unwrap_or_default();
        let (mut own_labels, mut own_annotations) =
            (metadata(&["metadata", "labels"]), metadata(&["metadata", "annotations"]));
        own_labels.retain(|(key, _)| !is_bookkeeping(key));
        own_annotations.retain(|(key, _)| !is_bookkeeping(key));
        // Without a template the operator copies the labels and annotations of the `ExternalSecret`.
        let mut copied = |key: &str, own: &Pairs| match template {
            Some(template) => template_metadata(template, key, &mut notes),
            None => own.clone(),
        };
        let (labels, annotations) = (copied("labels", &own_labels), copied("annotations", &own_annotations));
        if template.is_some_and(|template| template.at(&["metadata", "finalizers"]).is_some()) {
            let help = "remove them; the driver deletes the Secret with the last pod that mounts the class";
            notes.push(Note::lost(
                "spec.target.template.metadata.finalizers",
                "the driver sets no finalizers",
                help,
            ));
        }
        Ok(Self {
            target_name: field(&["name"]).unwrap_or(&name).to_owned(),
            kind,
            labels,
            annotations,
            own_labels,
            own_annotations,
            store,
            max_age: max_age(spec, &mut notes),
            optional: matches!(field(&["deletionPolicy"]), Some("Delete" | "Merge")),
            comments: comments(document, root, spec),
            items,
            notes,
            namespace: object.namespace.clone(),
            name,
        })
    }
}

/// The note on an `ExternalSecret` of which no key can be converted.
fn no_convertible_key(items: &[KeyItem], notes: &[Note]) -> Note {
    let why = items.iter().flat_map(|item| &item.notes).chain(notes);
    let why =
        why.map(|note| format!("{}: {}; {}", note.location, note.problem, note.help)).collect::<Vec<_>>();
    let problem = if why.is_empty() {
        let without_objects = "its templates use no value of the vault, and a class must name an object";
        if items.is_empty() { "it defines no key".to_owned() } else { without_objects.to_owned() }
    } else {
        format!("no key of it can be converted ({})", why.join(". "))
    };
    Note::lost("spec", problem, "it is left unchanged")
}

/// Whether it limits when the Secret may be refreshed.
fn has_sync_windows(spec: &Node) -> bool {
    spec.at(&["syncWindows", "windows"]).is_some_and(|windows| !windows.items().is_empty())
}

/// Labels or annotations that a template sets. Values that the operator renders are reported and left out.
fn template_metadata(template: &Node, key: &str, notes: &mut Vec<Note>) -> Pairs {
    let mut pairs = template.at(&["metadata", key]).map(pairs).unwrap_or_default();
    pairs.retain(|(name, value)| {
        let rendered = !value.contains("{{");
        if !rendered {
            let location = format!("spec.target.template.metadata.{key}.{name}");
            let problem =
                format!("the operator renders {}, and the driver copies the text unchanged", quoted(value));
            notes.push(Note::lost(
                location,
                problem,
                format!("write the rendered value into the class's {key}"),
            ));
        }
        rendered
    });
    pairs
}

/// Refuses a target that is not a Secret which the operator alone writes: the driver cannot create it.
fn check_target(target: &Node) -> Result<(), Note> {
    let policy = text(target, &["creationPolicy"]).unwrap_or("Owner");
    let location = "spec.target.creationPolicy";
    match policy {
        "Owner" | "Orphan" => {}
        "Merge" => {
            let problem = "the driver cannot add keys to a Secret that it did not create";
            let help = "it is left unchanged; to convert it, let it create its own Secret";
            return Err(Note::lost(location, problem, help));
        }
        "None" => {
            return Err(Note::lost(
                location,
                "it creates no Secret",
                "it is left unchanged; remove it if it is not needed",
            ));
        }
        other => {
            return Err(Note::lost(
                location,
                format!("the policy {} is unknown", quoted(other)),
                "it is left unchanged",
            ));
        }
    }
    if target.entry("manifest").is_some() {
        let problem = "it creates an object that is not a Secret";
        return Err(Note::lost("spec.target.manifest", problem, "it is left unchanged"));
    }
    Ok(())
}

/// The store that the elements name, if `spec` names none.
fn only_store(spec: &Node) -> Option<StoreRef> {
    let data = spec.at(&["data"]).map(Node::items).unwrap_or_default();
    let mut stores = data.iter().map(|item| item.at(&["sourceRef", "storeRef"]).and_then(StoreRef::parse));
    let first = stores.next()??;
    Some(first)
}

fn items(document: &InputDocument<'_>, spec: &Node) -> Vec<KeyItem> {
    let all = spec.at(&["dataFrom"]).map(Node::items).unwrap_or_default();
    let all = all.iter().enumerate();
    // Elements of `data` win over those of `dataFrom`, and later files over earlier ones.
    let mut from = all
        .map(|(index, node)| extract::data_from_item(&format!("spec.dataFrom[{index}]"), node))
        .collect::<Vec<_>>();
    let mut items = Vec::new();
    if let Some(data) = spec.entry("data") {
        let editor = document.editor();
        let mut start = editor.line_end(Position { column: data.position.column + 1, ..data.position });
        for (index, node) in data.value.items().iter().enumerate() {
            let end = editor.line_end(node.end).max(start);
            let mut item = data::item(&format!("spec.data[{index}]"), node);
            item.comments = edit::comments(document.text.get(start..end).unwrap_or_default());
            items.push(item);
            start = end;
        }
    }
    from.extend(last_of_each_key(items));
    from
}

/// Keeps the last element of each key, as the operator does.
fn last_of_each_key(items: Vec<KeyItem>) -> Vec<KeyItem> {
    let mut kept: Vec<KeyItem> = Vec::with_capacity(items.len());
    for (index, mut item) in items.into_iter().enumerate() {
        let same = |other: &KeyItem| item.key.is_some() && other.key == item.key;
        if let Some(earlier) = kept.iter().position(same) {
            let earlier = kept.remove(earlier);
            let location = format!("spec.data[{index}].secretKey");
            let key = quoted(item.key.as_deref().unwrap_or_default());
            let problem =
                format!("the key {key} appears twice, and this entry wins, as it does in the operator");
            item.notes.insert(0, Note::remark(location, problem, "remove the other entry"));
            item.comments.splice(0..0, earlier.comments);
        }
        kept.push(item);
    }
    kept
}

/// The comments that belong to no element of `spec.data`.
fn comments(document: &InputDocument<'_>, root: &Node, spec: &Node) -> Vec<String> {
    let editor = document.editor();
    let (start, end) = (editor.line_start(root.position), editor.line_end(root.end));
    let mut comments = Vec::new();
    let mut take = |start: usize, end: usize| {
        comments.extend(edit::comments(document.text.get(start..end).unwrap_or_default()));
    };
    match spec.entry("data").filter(|data| !data.value.items().is_empty()) {
        Some(data) => {
            let after_key = Position { column: data.position.column + 1, ..data.position };
            take(start, editor.line_end(after_key));
            take(editor.line_end(data.value.end), end);
        }
        None => take(start, end),
    }
    comments
}

/// Checks the type of the Secret against its keys. The driver passes on a type that Kubernetes does not define.
fn kind(kind: &str, items: &[KeyItem], notes: &mut Vec<Note>) -> String {
    let location = "spec.target.template.type";
    let Some(known) = SecretType::named(kind) else { return kind.to_owned() };
    let keys = items.iter().filter_map(KeyItem::converted_key).collect::<Vec<_>>();
    let is_complete = items.iter().all(|item| item.key.is_some() || !item.is_converted());
    if kind == TLS && keys.iter().any(|key| !secret_rules::TLS_KEYS.contains(key)) {
        let problem = "in a Secret of this type the driver writes only tls.crt and tls.key";
        notes.push(Note::lost(location, problem, "move the other keys to another ExternalSecret"));
    }
    if let Some(missing) = known.missing_text(&keys).filter(|_| is_complete) {
        let problem = format!("the API server rejects a Secret of type {kind} without {missing}");
        notes.push(Note::lost(location, problem, "add the missing keys, or use type Opaque"));
    }
    kind.to_owned()
}

/// The default of the operator.
const DEFAULT_INTERVAL: &str = "1h";
/// The default of the provider's `--rotation-max-age-limit`.
const DEFAULT_LIMIT: (&str, Duration) = ("24h", Duration::from_hours(24));

fn max_age(spec: &Node, notes: &mut Vec<Note>) -> String {
    let policy = text(spec, &["refreshPolicy"]).unwrap_or("Periodic");
    let interval = text(spec, &["refreshInterval"]).unwrap_or(DEFAULT_INTERVAL);
    let never = |location: &str, notes: &mut Vec<Note>| {
        let problem = "a class cannot keep a value forever: if the driver's rotation is on, the value is read once a day";
        let help = "pin the object's version, or turn off the driver's rotation";
        notes.push(Note::lost(location, problem, help));
        DEFAULT_LIMIT.0.to_owned()
    };
    if policy != "Periodic" {
        return never("spec.refreshPolicy", notes);
    }
    let location = "spec.refreshInterval";
    let read = if interval == "0" { Ok(Duration::ZERO) } else { humantime::parse_duration(interval) };
    match read {
        Ok(Duration::ZERO) => never(location, notes),
        Ok(read) if read <= DEFAULT_LIMIT.1 => interval.to_owned(),
        Ok(_) => {
            let problem =
                format!("{} exceeds the provider's default limit of {}", quoted(interval), DEFAULT_LIMIT.0);
            let help = "raise --rotation-max-age-limit and then rotationMaxAge, or keep one day";
            notes.push(Note::lost(location, problem, help));
            DEFAULT_LIMIT.0.to_owned()
        }
        Err(_) => {
            let problem = format!("{} is not a duration that the provider accepts", quoted(interval));
            notes.push(Note::lost(
                location,
                problem,
                "set rotationMaxAge to whole numbers with units, such as 1h30m",
            ));
            DEFAULT_INTERVAL.to_owned()
        }
    }
}
