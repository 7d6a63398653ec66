//! `spec.target.template`: which keys of the Secret it leaves, and which it makes.

use super::data::{Item, Part, text};
use super::note::Note;
use super::template::{self, Coding, Template};
use crate::plan::{ObjectKind, quoted};
use crate::secret_rules::{CERTIFICATE_KEY, PRIVATE_KEY_KEY, TLS};
use crate::yaml::Node;

/// The type of the Secret.
pub(super) fn kind(template: Option<&Node>) -> &str {
    template.and_then(|template| text(template, &["type"])).unwrap_or("Opaque")
}

/// The keys that a template leaves of `sources`, and those that it makes.
pub(super) fn items(template: &Node, sources: Vec<Item>, notes: &mut Vec<Note>) -> Vec<Item> {
    let data = template.at(&["data"]).map(Node::entries).unwrap_or_default();
    let from = template.at(&["templateFrom"]).map(Node::items).unwrap_or_default();
    for (index, from) in from.iter().enumerate() {
        let location = format!("spec.target.template.templateFrom[{index}]");
        let help = "store the finished text in the vault, or have the application put it together";
        notes.push(Note::lost(location, format!("a class has no templates, such as {}", origin(from)), help));
    }
    if text(template, &["engineVersion"]) == Some("v1") && !data.is_empty() {
        let problem =
            "the engine v1 has other functions, and prints a value as numbers unless toString follows";
        let help = "write the templates for the engine v2, and convert again";
        notes.push(Note::lost("spec.target.template.engineVersion", problem, help));
    }
    let made = data.iter().map(|entry| {
        let location = format!("spec.target.template.data.{}", entry.key);
        let text = entry.value.text().unwrap_or_default();
        let tls = kind(Some(template)) == TLS;
        let made = made(&entry.key, text, &sources, tls).unwrap_or_else(|(problem, help)| Item {
            notes: vec![Note::lost(location, problem, help)],
            ..Item::default()
        });
        Item { key: Some(entry.key.clone()), ..made }
    });
    let mut items = made.collect::<Vec<_>>();
    let keeps = (data.is_empty() && from.is_empty()) || text(template, &["mergePolicy"]) == Some("Merge");
    let replaced = |item: &Item| data.iter().any(|entry| item.key.as_ref() == Some(&entry.key));
    let kept = sources.into_iter().filter(|item| item.value.is_none() || (keeps && !replaced(item)));
    items.splice(0..0, kept);
    items
}

fn origin(from: &Node) -> String {
    let name = |field: &str| text(from, &[field, "name"]);
    match (name("configMap"), name("secret")) {
        (Some(name), _) => format!("those of ConfigMap {name}"),
        (None, Some(name)) => format!("those of Secret {name}"),
        (None, None) => "literal ones".to_owned(),
    }
}

/// What a template makes of one of `sources`, or why a class cannot express it and what to do.
fn made(key: &str, template: &str, sources: &[Item], tls: bool) -> Result<Item, (String, String)> {
    let lost = |problem: &str, help: &str| Err((problem.to_owned(), help.to_owned()));
    let (name, coding, part) = match Template::parse(template) {
        Template::Value(name) | Template::PublicKey(name) => (name, None, None),
        Template::Decoded(name) => (name, Some(Coding::Base64), None),
        Template::Certificates(name, coding) => (name, Some(coding), Some(Part::Certificates)),
        Template::PrivateKey(name, coding) => (name, Some(coding), Some(Part::PrivateKey)),
        Template::Constant => {
            let problem = "it is a constant, and a class names objects of a vault alone";
            return lost(problem, "put it into a ConfigMap");
        }
        Template::Function(name) => return Err(template::advice(name)),
        Template::Joined => {
            let problem = "it joins values with text, and a class has no templates";
            let help = "store the finished text in the vault, or have the application put it together";
            return lost(problem, help);
        }
        Template::Other => return lost("a class has no templates", "store the finished text in the vault"),
    };
    let split = match part {
        None => true,
        Some(Part::Certificates) => tls && key == CERTIFICATE_KEY,
        Some(Part::PrivateKey) => tls && key == PRIVATE_KEY_KEY,
    };
    if !split {
        let pem = matches!(coding, Some(Coding::Pem | Coding::PemBase64));
        return Err(template::advice(if pem { "filterPEM" } else { "pkcs12cert" }));
    }
    let Some(item) = sources.iter().find(|item| item.key.as_deref() == Some(name) && item.value.is_some())
    else {
        return Err((format!("{} is not carried over", quoted(name)), "carry that over first".to_owned()));
    };
    let mut item = item.clone();
    let Some(value) = &mut item.value else { return Ok(item) };
    key.clone_into(&mut value.key);
    value.part = part;
    if matches!(Template::parse(template), Template::PublicKey(_)) {
        if value.object.kind != ObjectKind::Key {
            return Err(template::advice("jwkPublicKeyPem"));
        }
        // PEM is what the provider makes of a key.
        value.otherwise = None;
    }
    match (coding, part) {
        (None, _) => {}
        (Some(_), None) if !value.object.decoded => {
            (value.object.decoded, value.object.pfx) = (true, true);
        }
        (Some(Coding::Pem), Some(_)) => value.object.pfx = false,
        (Some(Coding::PemBase64), Some(_)) if !value.object.decoded => value.object.decoded = true,
        // Undecoded here and decoded there, or the other way round: PKCS#12 either way, and PEM of
        // it is what the provider gives unasked.
        (Some(coding @ (Coding::Base64 | Coding::Binary)), Some(_))
            if (coding == Coding::Base64) != value.object.decoded =>
        {
            (value.object.decoded, value.object.pfx) = (false, false);
        }
        _ => return lost("it is decoded twice", "store the finished text in the vault"),
    }
    Ok(item)
}
