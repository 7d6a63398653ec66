//! An `ExternalSecret`, as far as it can be said otherwise.

use std::time::Duration;

use super::annotations::is_bookkeeping;
use super::data::{self, Item, StoreRef, text};
use super::note::Note;
use super::pieces::Piece;
use super::{edit, schema, templated};
use crate::manifest::Object;
use crate::plan::quoted;
use crate::secret_rules::{self, SecretType, TLS};
use crate::yaml::{Node, Position, Value};

/// What becomes a `SecretProviderClass`.
#[derive(Clone, Debug)]
pub(super) struct ExternalSecret {
    pub name: String,
    pub namespace: Option<String>,
    /// The Secret that it makes.
    pub target: String,
    /// The Secret's type.
    pub kind: String,
    /// Labels and annotations of the Secret.
    pub labels: Pairs,
    pub annotations: Pairs,
    /// Labels and annotations of its own.
    pub own_labels: Pairs,
    pub own_annotations: Pairs,
    pub store: StoreRef,
    /// `rotationMaxAge`
    pub max_age: String,
    /// Objects that the vault has no more are no error.
    pub optional: bool,
    pub items: Vec<Item>,
    /// About all of it.
    pub notes: Vec<Note>,
    pub comments: Vec<String>,
}

pub(super) type Pairs = Vec<(String, String)>;

impl ExternalSecret {
    /// # Errors
    /// Why it must stay what it is.
    pub(super) fn parse(piece: &Piece<'_>, object: &Object) -> Result<Self, Note> {
        let mut notes = Vec::new();
        let root = &object.root;
        let name = object.name.clone().unwrap_or_default();
        let spec = root.at(&["spec"]).ok_or_else(|| Note::lost("spec", "it is missing", "complete it"))?;
        rendered("metadata.name", object.name.as_deref())?;
        rendered("metadata.namespace", object.namespace.as_deref())?;
        rendered_below("spec", spec)?;
        schema::check("spec", spec, schema::EXTERNAL_SECRET, &mut notes);
        let target = spec.at(&["target"]);
        target.map_or(Ok(()), stays)?;
        let field = |keys: &[&str]| target.and_then(|target| text(target, keys));
        let store = spec.at(&["secretStoreRef"]).and_then(StoreRef::parse);
        let store = store.or_else(|| only_store(spec)).ok_or_else(|| {
            Note::lost(
                "spec.secretStoreRef",
                "it names no store",
                "name the store of Azure Key Vault that it reads",
            )
        })?;
        let mut items = items(piece, spec);
        let template = target.and_then(|target| target.at(&["template"]));
        if let Some(template) = template {
            items = templated::items(template, items, &mut notes);
        }
        if items.iter().all(|item| item.value.is_none()) {
            return Err(nothing(&items, &notes));
        }
        let kind = kind(templated::kind(template), &items, &mut notes);
        if windows(spec) {
            let problem = "the operator refreshed the Secret in its windows only, and the driver has none";
            let help = "turn the driver's rotation off, or let values change at any time";
            notes.push(Note::lost("spec.syncWindows", problem, help));
        }
        if field(&["immutable"]) == Some("true") {
            let help = "nobody but the driver should write it; restrict that with RBAC";
            notes.push(Note::lost(
                "spec.target.immutable",
                "the driver changes its Secrets on rotation",
                help,
            ));
        }
        let metadata = |keys: &[&str]| root.at(keys).map(pairs).unwrap_or_default();
        let (mut own_labels, mut own_annotations) =
            (metadata(&["metadata", "labels"]), metadata(&["metadata", "annotations"]));
        own_labels.retain(|(key, _)| !is_bookkeeping(key));
        own_annotations.retain(|(key, _)| !is_bookkeeping(key));
        // Without a template the operator copies its own.
        let mut copied = |key: &str, own: &Pairs| match template {
            Some(template) => template_metadata(template, key, &mut notes),
            None => own.clone(),
        };
        let (labels, annotations) = (copied("labels", &own_labels), copied("annotations", &own_annotations));
        if template.is_some_and(|template| template.at(&["metadata", "finalizers"]).is_some()) {
            let help = "the driver deletes the Secret with the last pod that mounts the class";
            notes.push(Note::lost("spec.target.template.metadata.finalizers", "the driver sets none", help));
        }
        Ok(Self {
            target: field(&["name"]).unwrap_or(&name).to_owned(),
            kind,
            labels,
            annotations,
            own_labels,
            own_annotations,
            store,
            max_age: max_age(spec, &mut notes),
            optional: matches!(field(&["deletionPolicy"]), Some("Delete" | "Merge")),
            comments: comments(piece, root, spec),
            items,
            notes,
            namespace: object.namespace.clone(),
            name,
        })
    }
}

/// Why nothing of it is converted.
fn nothing(items: &[Item], notes: &[Note]) -> Note {
    let why = items.iter().flat_map(|item| &item.notes).chain(notes);
    let why =
        why.map(|note| format!("{}: {}; {}", note.location, note.problem, note.help)).collect::<Vec<_>>();
    let problem = if why.is_empty() {
        "it has no key".to_owned()
    } else {
        format!("nothing of it can be said ({})", why.join(". "))
    };
    Note::lost("spec", problem, "it stays as it is")
}

/// Whether it says when the Secret may be refreshed.
fn windows(spec: &Node) -> bool {
    spec.at(&["syncWindows", "windows"]).is_some_and(|windows| !windows.items().is_empty())
}

/// Labels or annotations that a template gives the Secret; the operator renders their values.
fn template_metadata(template: &Node, key: &str, notes: &mut Vec<Note>) -> Pairs {
    let mut pairs = template.at(&["metadata", key]).map(pairs).unwrap_or_default();
    pairs.retain(|(name, value)| {
        let rendered = !value.contains("{{");
        if !rendered {
            let location = format!("spec.target.template.metadata.{key}.{name}");
            let problem =
                format!("the operator rendered {}, and the driver copies text as it is", quoted(value));
            notes.push(Note::lost(
                location,
                problem,
                format!("write the value itself into the class's {key}"),
            ));
        }
        rendered
    });
    pairs
}

/// Refuses text that a chart has yet to render.
fn rendered(location: &str, text: Option<&str>) -> Result<(), Note> {
    match text.filter(|text| text.contains("{{")) {
        None => Ok(()),
        Some(text) => {
            let problem = format!("{} is a template that is not rendered", quoted(text));
            Err(Note::lost(location, problem, "it stays as it is; render it first, as `helm template` does"))
        }
    }
}

/// The same of all text below a node, but for what the operator renders.
pub(super) fn rendered_below(location: &str, node: &Node) -> Result<(), Note> {
    match &node.value {
        Value::Scalar(scalar) => rendered(location, Some(scalar.text())),
        Value::Sequence(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| rendered_below(&format!("{location}[{index}]"), item)),
        Value::Mapping(entries) => entries
            .iter()
            .filter(|entry| !["template", "templateFrom", "dataFrom"].contains(&entry.key.as_str()))
            .try_for_each(|entry| rendered_below(&format!("{location}.{}", entry.key), &entry.value)),
    }
}

/// What is not a Secret that the operator makes alone, the driver cannot make either.
fn stays(target: &Node) -> Result<(), Note> {
    let policy = text(target, &["creationPolicy"]).unwrap_or("Owner");
    let location = "spec.target.creationPolicy";
    match policy {
        "Owner" | "Orphan" => {}
        "Merge" => {
            let problem = "the driver adds nothing to a Secret that somebody else makes";
            let help = "it stays as it is; to convert it, give it a Secret of its own";
            return Err(Note::lost(location, problem, help));
        }
        "None" => {
            return Err(Note::lost(
                location,
                "it makes no Secret",
                "it stays as it is; remove it if nobody needs it",
            ));
        }
        other => {
            return Err(Note::lost(location, format!("{} is unknown", quoted(other)), "it stays as it is"));
        }
    }
    if target.entry("manifest").is_some() {
        let problem = "it makes something else than a Secret";
        return Err(Note::lost("spec.target.manifest", problem, "it stays as it is"));
    }
    Ok(())
}

/// The store of all elements, where only they name one.
fn only_store(spec: &Node) -> Option<StoreRef> {
    let data = spec.at(&["data"]).map(Node::items).unwrap_or_default();
    let mut stores = data.iter().map(|item| item.at(&["sourceRef", "storeRef"]).and_then(StoreRef::parse));
    let first = stores.next()??;
    Some(first)
}

fn items(piece: &Piece<'_>, spec: &Node) -> Vec<Item> {
    let mut items = Vec::new();
    if let Some(data) = spec.entry("data") {
        let editor = piece.editor();
        let mut start = editor.line_end(Position { column: data.position.column + 1, ..data.position });
        for (index, node) in data.value.items().iter().enumerate() {
            let end = editor.line_end(node.end).max(start);
            let mut item = data::item(&format!("spec.data[{index}]"), node);
            item.comments = edit::comments(piece.text.get(start..end).unwrap_or_default());
            items.push(item);
            start = end;
        }
    }
    let mut items = last_of_each_key(items);
    let all = spec.at(&["dataFrom"]).map(Node::items).unwrap_or_default();
    items.extend(
        all.iter()
            .enumerate()
            .map(|(index, node)| data::item_of_all(&format!("spec.dataFrom[{index}]"), node)),
    );
    items
}

/// The operator writes the elements in their order, so the last one of a key wins.
fn last_of_each_key(items: Vec<Item>) -> Vec<Item> {
    let mut kept: Vec<Item> = Vec::with_capacity(items.len());
    for (index, mut item) in items.into_iter().enumerate() {
        let same = |other: &Item| item.key.is_some() && other.key == item.key;
        if let Some(earlier) = kept.iter().position(same) {
            let earlier = kept.remove(earlier);
            let location = format!("spec.data[{index}].secretKey");
            let key = quoted(item.key.as_deref().unwrap_or_default());
            let problem =
                format!("the key {key} appears twice, and this one wins, as it did for the operator");
            item.notes.insert(0, Note::remark(location, problem, "remove the other one"));
            item.comments.splice(0..0, earlier.comments);
        }
        kept.push(item);
    }
    kept
}

/// The comments that belong to no element of `spec.data`.
fn comments(piece: &Piece<'_>, root: &Node, spec: &Node) -> Vec<String> {
    let editor = piece.editor();
    let (start, end) = (editor.line_start(root.position), editor.line_end(root.end));
    let mut comments = Vec::new();
    let mut take = |start: usize, end: usize| {
        comments.extend(edit::comments(piece.text.get(start..end).unwrap_or_default()));
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

/// The type of the Secret, with notes on what the driver or the API server would do otherwise. The driver passes on a type
/// that Kubernetes does not define.
fn kind(kind: &str, items: &[Item], notes: &mut Vec<Note>) -> String {
    let location = "spec.target.template.type";
    let Some(known) = SecretType::named(kind) else { return kind.to_owned() };
    let keys = items.iter().filter_map(|item| item.value.as_ref()).map(|value| value.key.as_str());
    let keys = keys.collect::<Vec<_>>();
    if kind == TLS && keys.iter().any(|key| !secret_rules::TLS_KEYS.contains(key)) {
        let problem = "in a Secret of this type the driver fills tls.crt and tls.key alone";
        notes.push(Note::lost(location, problem, "give the other keys an ExternalSecret of their own"));
    }
    if let Some(missing) = known.missing_text(&keys) {
        let problem = format!("the API server refuses a Secret of type {kind} without {missing}");
        notes.push(Note::lost(location, problem, "add what is missing, or use type Opaque"));
    }
    kind.to_owned()
}

/// What the operator does where nothing is said.
const DEFAULT_INTERVAL: &str = "1h";
/// What every provider allows that nobody set up otherwise.
const LONGEST: (&str, Duration) = ("24h", Duration::from_secs(24 * 3600));

fn max_age(spec: &Node, notes: &mut Vec<Note>) -> String {
    let policy = text(spec, &["refreshPolicy"]).unwrap_or("Periodic");
    let interval = text(spec, &["refreshInterval"]).unwrap_or(DEFAULT_INTERVAL);
    let never = |location: &str, notes: &mut Vec<Note>| {
        let problem =
            "a value that never changes cannot be said: where the driver rotates, it is read anew once a day";
        let help = "name the object's version, which pins it, or leave the driver's rotation off";
        notes.push(Note::lost(location, problem, help));
        LONGEST.0.to_owned()
    };
    if policy != "Periodic" {
        return never("spec.refreshPolicy", notes);
    }
    let location = "spec.refreshInterval";
    let read = if interval == "0" { Ok(Duration::ZERO) } else { humantime::parse_duration(interval) };
    match read {
        Ok(Duration::ZERO) => never(location, notes),
        Ok(read) if read <= LONGEST.1 => interval.to_owned(),
        Ok(_) => {
            let problem = format!("{} is more than the provider's limit, {}", quoted(interval), LONGEST.0);
            let help = "raise --rotation-max-age-limit and then rotationMaxAge, or let it be a day";
            notes.push(Note::lost(location, problem, help));
            LONGEST.0.to_owned()
        }
        Err(_) => {
            let problem = format!("{} is no duration that the provider reads", quoted(interval));
            notes.push(Note::lost(
                location,
                problem,
                "write whole numbers with a unit, such as 1h30m, into rotationMaxAge",
            ));
            DEFAULT_INTERVAL.to_owned()
        }
    }
}

fn pairs(node: &Node) -> Pairs {
    let text = |node: &Node| node.text().unwrap_or_default().to_owned();
    node.entries().iter().map(|entry| (entry.key.clone(), text(&entry.value))).collect()
}
