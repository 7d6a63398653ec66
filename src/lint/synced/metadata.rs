//! Labels and annotations of a Secret, which the API server may refuse.

use crate::lint::Diagnostic;
use crate::lint::parameters::type_fault;
use crate::plan::{Fault, quoted};
use crate::secret_rules::{SecretType, is_label_value, is_qualified_name};
use crate::yaml::{Entry, Node};

/// Without it the API server refuses a Secret of this type.
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
            format!("the API server refuses a Secret of this type without the annotation {ACCOUNT}");
        let fault = Fault::new(problem, "add it to `annotations`, with the name of the service account");
        let position = secret.entry("type").map_or(secret.position, |entry| entry.value.position);
        diagnostics.push(Diagnostic::warning(position, format!("{location}.type"), fault));
    }
}

fn fault(location: &str, entry: &Entry, label: bool) -> Option<Diagnostic> {
    if !is_qualified_name(&entry.key) {
        let problem = format!("the API server refuses {} as a name", quoted(&entry.key));
        let fault =
            Fault::new(problem, "use letters, digits, `-`, `_` and `.`, perhaps below a domain and `/`");
        return Some(Diagnostic::warning(entry.position, location, fault));
    }
    if let Some(fault) = type_fault(entry) {
        return Some(Diagnostic::error(entry.value.position, format!("{location}.{}", entry.key), fault));
    }
    let value = entry.value.text().filter(|value| label && !is_label_value(value))?;
    let problem = format!("the API server refuses {} as the value of a label", quoted(value));
    let fault = Fault::new(
        problem,
        "use letters, digits, `-`, `_` and `.`, 63 at most; the driver copies text as it is",
    );
    Some(Diagnostic::warning(entry.value.position, format!("{location}.{}", entry.key), fault))
}
