//! An `ExternalSecret`, as far as it can be said otherwise.

use std::time::Duration;

use super::data::{self, Item, StoreRef, text, unknown_fields};
use super::edit;
use super::note::Note;
use super::pieces::Piece;
use crate::manifest::Object;
use crate::plan::quoted;
use crate::yaml::{Node, Position};

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
        unknown_fields("spec", spec, &SPEC, &mut notes);
        let target = spec.at(&["target"]);
        if let Some(target) = target {
            unknown_fields("spec.target", target, &TARGET, &mut notes);
            stays(target)?;
        }
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
            unknown_fields("spec.target.template", template, &TEMPLATE, &mut notes);
            items = templated(template, items, &mut notes);
        }
        if items.iter().all(|item| item.value.is_none()) {
            let notes = items.iter().flat_map(|item| &item.notes);
            let why = notes
                .map(|note| format!("{}: {}; {}", note.place, note.problem, note.mend))
                .collect::<Vec<_>>();
            let problem = if why.is_empty() {
                "it has no key".to_owned()
            } else {
                format!("nothing of it can be said ({})", why.join(". "))
            };
            return Err(Note::lost("spec", problem, "it stays as it is"));
        }
        let kind = kind(template, &items, &mut notes);
        if field(&["immutable"]) == Some("true") {
            let mend = "nobody but the driver should write it; restrict that with RBAC";
            notes.push(Note::lost(
                "spec.target.immutable",
                "the driver changes its Secrets on rotation",
                mend,
            ));
        }
        let metadata = |keys: &[&str]| root.at(keys).map(pairs).unwrap_or_default();
        let (own_labels, own_annotations) =
            (metadata(&["metadata", "labels"]), metadata(&["metadata", "annotations"]));
        let own_annotations =
            own_annotations.into_iter().filter(|(key, _)| !is_bookkeeping(key)).collect::<Vec<_>>();
        // Without a template the operator copies its own.
        let copied = |key: &str, own: &Pairs| match template {
            Some(template) => template.at(&["metadata", key]).map(pairs).unwrap_or_default(),
            None => own.clone(),
        };
        Ok(Self {
            target: field(&["name"]).unwrap_or(&name).to_owned(),
            kind,
            labels: copied("labels", &own_labels),
            annotations: copied("annotations", &own_annotations),
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

const SPEC: [&str; 6] = ["secretStoreRef", "target", "refreshPolicy", "refreshInterval", "data", "dataFrom"];
const TARGET: [&str; 6] = ["name", "creationPolicy", "deletionPolicy", "template", "immutable", "manifest"];
const TEMPLATE: [&str; 6] = ["type", "engineVersion", "metadata", "mergePolicy", "data", "templateFrom"];

/// What is not a Secret that the operator makes alone, the driver cannot make either.
fn stays(target: &Node) -> Result<(), Note> {
    let policy = text(target, &["creationPolicy"]).unwrap_or("Owner");
    let place = "spec.target.creationPolicy";
    match policy {
        "Owner" | "Orphan" => {}
        "Merge" => {
            let problem = "the driver adds nothing to a Secret that somebody else makes";
            let mend = "it stays as it is; to convert it, give it a Secret of its own";
            return Err(Note::lost(place, problem, mend));
        }
        "None" => {
            return Err(Note::lost(
                place,
                "it makes no Secret",
                "it stays as it is; remove it if nobody needs it",
            ));
        }
        other => return Err(Note::lost(place, format!("{} is unknown", quoted(other)), "it stays as it is")),
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
    let all = spec.at(&["dataFrom"]).map(Node::items).unwrap_or_default();
    items.extend(
        all.iter()
            .enumerate()
            .map(|(index, node)| data::item_of_all(&format!("spec.dataFrom[{index}]"), node)),
    );
    items
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

/// The keys that a template leaves and adds.
fn templated(template: &Node, sources: Vec<Item>, notes: &mut Vec<Note>) -> Vec<Item> {
    if template.at(&["templateFrom"]).is_some_and(|from| !from.items().is_empty()) {
        let mend = "store the finished text in the vault, or let the application put it together";
        notes.push(Note::lost("spec.target.template.templateFrom", "a class has no templates", mend));
    }
    let data = template.at(&["data"]).map(Node::entries).unwrap_or_default();
    let keeps = data.is_empty() || text(template, &["mergePolicy"]) == Some("Merge");
    let made = data
        .iter()
        .map(|entry| data::item_of_template(&entry.key, entry.value.text().unwrap_or_default(), &sources));
    let mut items = made.collect::<Vec<_>>();
    let templated = |item: &Item| {
        data.iter().any(|entry| item.value.as_ref().is_some_and(|value| value.key == entry.key))
    };
    let kept = sources.into_iter().filter(|item| item.value.is_none() || (keeps && !templated(item)));
    items.splice(0..0, kept);
    items
}

/// The types that the driver makes; everything else becomes `Opaque`.
const KINDS: [&str; 8] = [
    "Opaque",
    "bootstrap.kubernetes.io/token",
    "kubernetes.io/basic-auth",
    "kubernetes.io/dockercfg",
    "kubernetes.io/dockerconfigjson",
    "kubernetes.io/service-account-token",
    "kubernetes.io/ssh-auth",
    "kubernetes.io/tls",
];

fn kind(template: Option<&Node>, items: &[Item], notes: &mut Vec<Note>) -> String {
    let kind = template.and_then(|template| text(template, &["type"])).unwrap_or("Opaque");
    let place = "spec.target.template.type";
    if !KINDS.contains(&kind) {
        let problem = format!("the driver makes a Secret of type Opaque of {}", quoted(kind));
        notes.push(Note::lost(place, problem, "keep the ExternalSecret if somebody minds the type"));
        return kind.to_owned();
    }
    let values = || items.iter().filter_map(|item| item.value.as_ref());
    let tls = kind == "kubernetes.io/tls";
    if tls && values().any(|value| !["tls.crt", "tls.key"].contains(&value.key.as_str())) {
        let mend = "give the other keys an ExternalSecret of their own";
        notes.push(Note::lost(
            place,
            "in a Secret of this type the driver fills tls.crt and tls.key alone",
            mend,
        ));
    }
    if !tls && values().any(|value| value.part.is_some()) {
        let mend = "set the type to kubernetes.io/tls, or let the application take the PEM file apart";
        notes.push(Note::lost(
            place,
            "the driver takes certificate and key apart for kubernetes.io/tls alone",
            mend,
        ));
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
    let never = |place: &str, notes: &mut Vec<Note>| {
        let problem =
            "a value that never changes cannot be said: where the driver rotates, it is read anew once a day";
        let mend = "name the object's version, which pins it, or leave the driver's rotation off";
        notes.push(Note::lost(place, problem, mend));
        LONGEST.0.to_owned()
    };
    if policy != "Periodic" {
        return never("spec.refreshPolicy", notes);
    }
    let place = "spec.refreshInterval";
    let read = if interval == "0" { Ok(Duration::ZERO) } else { humantime::parse_duration(interval) };
    match read {
        Ok(Duration::ZERO) => never(place, notes),
        Ok(read) if read <= LONGEST.1 => interval.to_owned(),
        Ok(_) => {
            let problem = format!("{} is more than the provider's limit, {}", quoted(interval), LONGEST.0);
            let mend = "raise --rotation-max-age-limit and then rotationMaxAge, or let it be a day";
            notes.push(Note::lost(place, problem, mend));
            LONGEST.0.to_owned()
        }
        Err(_) => {
            let problem = format!("{} is no duration that the provider reads", quoted(interval));
            notes.push(Note::lost(
                place,
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

/// Annotations by which others keep books on the object itself.
fn is_bookkeeping(key: &str) -> bool {
    key == "kubectl.kubernetes.io/last-applied-configuration"
        || key.starts_with("reconcile.external-secrets.io/")
        || key == "force-sync"
}
