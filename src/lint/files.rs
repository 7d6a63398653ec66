//! Who may read and write the files.

use super::Diagnostic;
use super::class::Class;
use super::parameters::{self, Written};
use crate::plan::{Fault, ObjectFormat, ObjectKind, ObjectPlan};

const EVERYBODY_WRITES: u16 = 0o002;
const EVERYBODY_READS: u16 = 0o004;

/// Warns of modes that somebody chose, and that give too much away. The driver's own, 0644, nobody
/// chose.
pub(super) fn check(class: &Class<'_>, written: &Written, diagnostics: &mut Vec<Diagnostic>) {
    for object in &written.objects {
        let (plan, key) = (&object.plan, "filePermission");
        let Some(position) = object.position(key) else { continue };
        let bits = plan.mode.bits();
        let (may, help) = if bits & EVERYBODY_WRITES != 0 {
            ("write the file", format!("write \"{:04o}\"", bits & !EVERYBODY_WRITES))
        } else if bits & EVERYBODY_READS != 0 && holds_private_key(plan) {
            let help = "write \"0440\", and give the pod an fsGroup, or \"0400\"".to_owned();
            ("read the private key", help)
        } else {
            continue;
        };
        let fault = Fault::new(format!("with {} every user in the pod may {may}", plan.mode), help);
        let location = format!("{}.{key}", plan.location);
        diagnostics.push(Diagnostic::warning(parameters::in_objects(class, position), location, fault));
    }
}

/// Whether a secret, of which the vault alone knows what it is, is called a private key.
fn holds_private_key(object: &ObjectPlan) -> bool {
    let path = object.path.as_str();
    let named = [".key", ".pfx", ".p12"].iter().any(|ending| path.ends_with(ending));
    object.kind == ObjectKind::Secret && (named || object.format == ObjectFormat::Pfx)
}
