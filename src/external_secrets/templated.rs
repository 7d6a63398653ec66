//! `spec.target.template`: the keys that it keeps, and the keys that it adds.

use super::data::{CertificatePart, KeyItem, text};
use super::note::Note;
use super::template::{self, CertificateEncoding, Template};
use crate::plan::{ObjectKind, quoted};
use crate::secret_rules::{CERTIFICATE_KEY, PRIVATE_KEY_KEY, TLS};
use crate::yaml::Node;

/// The type of the Secret.
pub(super) fn kind(template: Option<&Node>) -> &str {
    template.and_then(|template| text(template, &["type"])).unwrap_or("Opaque")
}

/// The keys of `sources` that a template keeps, and the keys that it adds.
pub(super) fn items(template: &Node, sources: Vec<KeyItem>, notes: &mut Vec<Note>) -> Vec<KeyItem> {
    let data = template.at(&["data"]).map(Node::entries).unwrap_or_default();
    let from = template.at(&["templateFrom"]).map(Node::items).unwrap_or_default();
    for (index, from) in from.iter().enumerate() {
        let location = format!("spec.target.template.templateFrom[{index}]");
        let help = "write it in the class's parameter templates, or store the rendered text in the vault";
        notes.push(Note::lost(
            location,
            format!(
                "the template is {}, and convert carries over only templates that select a value",
                template_source(from)
            ),
            help,
        ));
    }
    if text(template, &["engineVersion"]) == Some("v1") && !data.is_empty() {
        let problem =
            "template engine v1 has other functions, and prints a value as numbers unless toString follows";
        let help = "rewrite the templates for engine v2, and convert again";
        notes.push(Note::lost("spec.target.template.engineVersion", problem, help));
    }
    let made = data.iter().map(|entry| {
        let location = format!("spec.target.template.data.{}", entry.key);
        let text = entry.value.text().unwrap_or_default();
        let tls = kind(Some(template)) == TLS;
        let made = template_item(&entry.key, text, &sources, tls).unwrap_or_else(|(problem, help)| KeyItem {
            notes: vec![Note::lost(location, problem, help)],
            ..KeyItem::default()
        });
        KeyItem { key: Some(entry.key.clone()), ..made }
    });
    let mut items = made.collect::<Vec<_>>();
    let keeps = (data.is_empty() && from.is_empty()) || text(template, &["mergePolicy"]) == Some("Merge");
    let replaced = |item: &KeyItem| data.iter().any(|entry| item.key.as_ref() == Some(&entry.key));
    let kept = sources.into_iter().filter(|item| item.value.is_none() || (keeps && !replaced(item)));
    items.splice(0..0, kept);
    items
}

fn template_source(from: &Node) -> String {
    let name = |field: &str| text(from, &[field, "name"]);
    match (name("configMap"), name("secret")) {
        (Some(name), _) => format!("in ConfigMap {name}"),
        (None, Some(name)) => format!("in Secret {name}"),
        (None, None) => "a literal".to_owned(),
    }
}

/// The item that a template makes from one of `sources`; otherwise the problem and the help.
fn template_item(
    key: &str,
    template: &str,
    sources: &[KeyItem],
    tls: bool,
) -> Result<KeyItem, (String, String)> {
    let lost = |problem: &str, help: &str| Err((problem.to_owned(), help.to_owned()));
    let (name, coding, part) = match Template::parse(template) {
        Template::Value(name) | Template::PublicKey(name) => (name, None, None),
        Template::Decoded(name) => (name, Some(CertificateEncoding::Base64), None),
        Template::Certificates(name, coding) => (name, Some(coding), Some(CertificatePart::Certificates)),
        Template::PrivateKey(name, coding) => (name, Some(coding), Some(CertificatePart::PrivateKey)),
        Template::Constant => {
            let problem = "it is a constant, and convert carries over only values of a vault";
            return lost(problem, "put it into a ConfigMap");
        }
        Template::Function(name) => return Err(template::advice(name)),
        Template::Joined => {
            let problem =
                "it joins values with text, and convert carries over only templates that select a value";
            let help = "write it in the class's parameter templates, or store the rendered text in the vault";
            return lost(problem, help);
        }
        Template::Other => {
            return lost(
                "convert carries over only templates that select a value",
                "store the rendered text in the vault",
            );
        }
    };
    let split = match part {
        None => true,
        Some(CertificatePart::Certificates) => tls && key == CERTIFICATE_KEY,
        Some(CertificatePart::PrivateKey) => tls && key == PRIVATE_KEY_KEY,
    };
    if !split {
        let pem = matches!(coding, Some(CertificateEncoding::Pem | CertificateEncoding::PemBase64));
        return Err(template::advice(if pem { "filterPEM" } else { "pkcs12cert" }));
    }
    let Some(item) = sources.iter().find(|item| item.key.as_deref() == Some(name) && item.value.is_some())
    else {
        return Err((
            format!("it uses {}, which is not carried over", quoted(name)),
            "fix that key first".to_owned(),
        ));
    };
    let mut item = item.clone();
    let Some(value) = &mut item.value else { return Ok(item) };
    key.clone_into(&mut value.key);
    value.part = part;
    if matches!(Template::parse(template), Template::PublicKey(_)) {
        if value.object.kind != ObjectKind::Key {
            return Err(template::advice("jwkPublicKeyPem"));
        }
        // The provider writes a key as PEM.
        value.difference = None;
    }
    match (coding, part) {
        (None, _) => {}
        (Some(_), None) if !value.object.decoded => {
            (value.object.decoded, value.object.pfx) = (true, true);
        }
        (Some(CertificateEncoding::Pem), Some(_)) => value.object.pfx = false,
        (Some(CertificateEncoding::PemBase64), Some(_)) if !value.object.decoded => {
            value.object.decoded = true;
        }
        // The value is PKCS#12, decoded exactly once by either the element or the template. The provider
        // converts it to PEM by default.
        (Some(coding @ (CertificateEncoding::Base64 | CertificateEncoding::Binary)), Some(_))
            if (coding == CertificateEncoding::Base64) != value.object.decoded =>
        {
            (value.object.decoded, value.object.pfx) = (false, false);
        }
        _ => return lost("it is decoded twice", "store the rendered text in the vault"),
    }
    Ok(item)
}
