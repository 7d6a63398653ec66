//! `spec.target.template`: the keys that it keeps, and the keys that it adds.

use super::data::{self, CertificatePart, KeyItem, KeyTemplate, text};
use super::note::Note;
use super::template::{self, CertificateEncoding, Template};
use super::template_text::TemplateText;
use crate::plan::{ObjectKind, quoted};
use crate::secret_rules::{CERTIFICATE_KEY, PRIVATE_KEY_KEY, TLS, is_key};
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
        let help = "move the text to template.data, and convert again";
        notes.push(Note::lost(
            location,
            format!("convert carries over only template.data, and this one is {}", template_source(from)),
            help,
        ));
    }
    let is_old = text(template, &["engineVersion"]) == Some("v1");
    if is_old && !data.is_empty() {
        let problem =
            "template engine v1 has other functions, and prints a value as numbers unless toString follows";
        let help = "rewrite the templates for engine v2, and convert again";
        notes.push(Note::lost("spec.target.template.engineVersion", problem, help));
    }
    let keeps = (data.is_empty() && from.is_empty()) || text(template, &["mergePolicy"]) == Some("Merge");
    let made = data.iter().map(|entry| {
        let location = format!("spec.target.template.data.{}", entry.key);
        let text = entry.value.text().unwrap_or_default();
        let tls = kind(Some(template)) == TLS;
        let made = match template_item(&entry.key, text, &sources, tls) {
            _ if !is_key(&entry.key) => {
                Err(("it is not a valid key of a Secret".to_owned(), KEY_HELP.to_owned()))
            }
            Ok(MadeItem::Item(item)) => Ok(*item),
            Ok(MadeItem::Text(_)) if is_old => Err((
                "convert carries over texts of engine v2 only".to_owned(),
                "rewrite it for v2".to_owned(),
            )),
            Ok(MadeItem::Text(text)) => text_item(&location, text, &sources, keeps),
            Err(why) => Err(why),
        };
        let made = made.unwrap_or_else(|(problem, help)| KeyItem {
            notes: vec![Note::lost(location, problem, help)],
            ..KeyItem::default()
        });
        KeyItem { key: Some(entry.key.clone()), ..made }
    });
    let mut items = made.collect::<Vec<_>>();
    let replaced = |item: &KeyItem| data.iter().any(|entry| item.key.as_ref() == Some(&entry.key));
    let kept = sources.into_iter().filter(|item| !item.is_converted() || (keeps && !replaced(item)));
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

const KEY_HELP: &str = "use only letters, digits, `-`, `_` and `.`";

/// What a template makes.
enum MadeItem {
    /// A value of the vault, or a part of it.
    Item(Box<KeyItem>),
    Text(TemplateText),
}

/// The item of a text; otherwise the problem and the help.
fn text_item(
    location: &str,
    text: TemplateText,
    sources: &[KeyItem],
    keeps: bool,
) -> Result<KeyItem, (String, String)> {
    let mut item = KeyItem::default();
    let mut values = Vec::new();
    for key in text.keys() {
        let source = data::find(sources, key).ok_or_else(|| not_carried_over(key))?;
        let Some(value) = source.value else { continue };
        if let Some(difference) = &value.difference {
            let problem = format!("it uses {}: {}", quoted(key), difference.problem);
            item.notes.push(Note::lost(location, problem, &difference.help));
        }
        if value.object.decoded && text.joins() {
            return Err(template::advice("printf"));
        }
        // Otherwise they are at the key itself.
        if !keeps {
            item.comments.extend(source.comments);
            item.notes.extend(source.notes);
        }
        values.push(value);
    }
    item.template = Some(KeyTemplate { location: location.to_owned(), text, sources: values });
    Ok(item)
}

fn not_carried_over(key: &str) -> (String, String) {
    (format!("it uses {}, which is not carried over", quoted(key)), "fix that key first".to_owned())
}

/// The item that a template makes from one of `sources`, or its text; otherwise the problem and the help.
fn template_item(
    key: &str,
    template: &str,
    sources: &[KeyItem],
    tls: bool,
) -> Result<MadeItem, (String, String)> {
    let lost = |problem: &str, help: &str| Err((problem.to_owned(), help.to_owned()));
    let (name, coding, part) = match Template::parse(template) {
        Template::Value(name) | Template::PublicKey(name) => (name, None, None),
        Template::Decoded(name) => (name, Some(CertificateEncoding::Base64), None),
        Template::Certificates(name, coding) => (name, Some(coding), Some(CertificatePart::Certificates)),
        Template::PrivateKey(name, coding) => (name, Some(coding), Some(CertificatePart::PrivateKey)),
        Template::Text(text) => return Ok(MadeItem::Text(text)),
        Template::Function(name) => return Err(template::advice(&name)),
        Template::Statement(name) => {
            let problem = format!("it has the statement {name}: convert does not carry over statements");
            return lost(&problem, "write the parameter templates, which has if and for, in place of it");
        }
        Template::Other => {
            let help = "correct the template, or store the rendered text in the vault";
            return lost("it is not a template that the operator renders or convert knows", help);
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
    let Some(mut item) = data::find(sources, name) else { return Err(not_carried_over(name)) };
    let Some(value) = &mut item.value else { return Ok(MadeItem::Item(Box::new(item))) };
    if value.field.is_some() && coding.is_some() {
        // A class decodes whole secrets only.
        return match (part, TemplateText::parse(template)) {
            (None, Ok(text)) => Ok(MadeItem::Text(text)),
            _ => Err(template::advice("filterPEM")),
        };
    }
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
    Ok(MadeItem::Item(Box::new(item)))
}
