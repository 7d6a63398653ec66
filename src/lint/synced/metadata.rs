//! Labels and annotations of a Secret: the rules of the API server.

use crate::lint::Diagnostic;
use crate::lint::parameters::type_fault;
use crate::plan::{Fault, quoted};
use crate::secret_rules::{SecretType, is_label_value, is_qualified_name};
use crate::yaml::{Entry, Node};

/// The API server rejects a Secret of type [`ACCOUNT_TYPE`] without this annotation.
const ACCOUNT: &str = "kubernetes.io/service-account.name";
const ACCOUNT_TYPE: &str = "kubernetes.io/service-account-token";

pub(super) fn check(location: &str, secret: &Node, kind: SecretType, diagnostics: &mut Vec<Diagnostic>) {
    for field in ["labels", "annotations"] {
        for entry in secret.at(&[field]).map(Node::entries).unwrap_or_default() {
            diagnostics.extend(fault(&format!("{location}.{field}"), entry, field == "labels"));
        }
    }
    if kind.name == ACCOUNT_TYPE && secret.at(&["annotations", ACCOUNT]).is_none() {
        let problem =
            format!("the API server rejects a Secret of this type without the annotation {ACCOUNT}");
        let fault = Fault::new(problem, "add it to `annotations`, with the name of the service account");
        let position = secret.entry("type").map_or(secret.position, |entry| entry.value.position);
        diagnostics.push(Diagnostic::warning(position, format!("{location}.type"), fault));
    }
}

fn fault(location: &str, entry: &Entry, label: bool) -> Option<Diagnostic> {
    if !is_qualified_name(&entry.key) {
        let problem = format!("the API server rejects {} as a name", quoted(&entry.key));
        let fault = Fault::new(
            problem,
            "use only letters, digits, `-`, `_` and `.`, with an optional domain and `/` before them",
        );
        return Some(Diagnostic::warning(entry.position, location, fault));
    }
    if let Some(fault) = type_fault(entry) {
        return Some(Diagnostic::error(entry.value.position, format!("{location}.{}", entry.key), fault));
    }
    let value = entry.value.text().filter(|value| label && !is_label_value(value))?;
    let problem = format!("the API server rejects {} as the value of a label", quoted(value));
    let fault = Fault::new(
        problem,
        "use at most 63 letters, digits, `-`, `_` and `.`; the driver copies the text unchanged",
    );
    Some(Diagnostic::warning(entry.value.position, format!("{location}.{}", entry.key), fault))
}
