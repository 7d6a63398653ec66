//! The modes of the files.

use super::Diagnostic;
use super::class::ClassManifest;
use super::parameters::{self, PlannedObjects};
use crate::plan::{Fault, ObjectFormat, ObjectKind, ObjectPlan};

const OTHERS_WRITE: u16 = 0o002;
const OTHERS_READ: u16 = 0o004;

/// Warns about a `filePermission` with too many permissions. The driver's default, 0644, is not reported.
pub(super) fn check(class: &ClassManifest<'_>, written: &PlannedObjects, diagnostics: &mut Vec<Diagnostic>) {
    for object in &written.objects {
        let (plan, key) = (&object.plan, "filePermission");
        let Some(position) = object.position(key) else { continue };
        let bits = plan.mode.bits();
        let (action, help) = if bits & OTHERS_WRITE != 0 {
            ("write the file", format!("write \"{:04o}\"", bits & !OTHERS_WRITE))
        } else if bits & OTHERS_READ != 0 && holds_private_key(plan) {
            let help = "write \"0440\" and set the pod's fsGroup, or write \"0400\"".to_owned();
            ("read the private key", help)
        } else {
            continue;
        };
        let fault = Fault::new(format!("the mode {} lets every user in the pod {action}", plan.mode), help);
        let location = format!("{}.{key}", plan.location);
        diagnostics.push(Diagnostic::warning(parameters::in_objects(class, position), location, fault));
    }
}

/// Whether the file name or the format of a secret indicates a private key.
fn holds_private_key(object: &ObjectPlan) -> bool {
    let path = object.path.as_str();
    let named = [".key", ".pfx", ".p12"].iter().any(|ending| path.ends_with(ending));
    object.kind == ObjectKind::Secret && (named || object.format == ObjectFormat::Pfx)
}
