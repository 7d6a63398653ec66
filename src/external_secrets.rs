//! Converts manifests of the External Secrets Operator to manifests of the Secrets Store CSI driver.
//!
//! A `SecretProviderClass` of the same name replaces each `ExternalSecret`. Volumes of the operator's Secret
//! become volumes of the class. If anything else uses the Secret, the driver creates it. All other text stays
//! unchanged, with its comments and in its order.
//!
//! Facts about the operator are from its API types and the documentation of its provider for Azure Key Vault.

mod class;
mod cluster;
mod converted_class;
mod data;
mod edit;
mod extract;
mod gjson;
mod input;
mod login;
mod metadata;
mod note;
mod objects;
mod other_operators;
mod other_workloads;
mod output;
mod pod_specs;
mod reloader;
mod schema;
mod secret;
mod store;
mod target;
mod template;
mod template_text;
mod templated;
#[cfg(test)]
mod tests;
mod unrendered;
mod unused_stores;
mod workload;
mod workload_edit;
mod write;

use crate::manifest::{ManifestError, ManifestSource};
use cluster::Cluster;
pub use note::{Note, NoteKind};
use output::ConversionOutput;
use target::TargetSecret;

/// The result of a conversion.
#[derive(Debug)]
pub struct Conversion {
    /// The documents, ready to be applied.
    pub text: String,
    /// What the user must check before applying the documents. The text has the same notes as comments.
    pub notes: Vec<Note>,
    /// Documents that cannot be read. They are in the text unchanged.
    pub errors: Vec<ManifestError>,
}

/// Converts files that belong together: a reference in one file may lead to another file.
pub fn convert(sources: &[ManifestSource]) -> Conversion {
    let (documents, errors) = input::read(sources);
    let cluster = Cluster::of(&documents);
    let mut output = ConversionOutput::new(&documents);
    let mut targets = TargetSecret::all(&documents, &cluster, &mut output);
    for target in &mut targets {
        target.find_users(&documents);
    }
    targets.retain(|target| {
        let note = target.unnamed_keys();
        note.map(|note| output.annotate(target.index, note)).is_none()
    });
    target::name_classes(&mut targets, &documents);
    workload_edit::change(&documents, &mut targets, &mut output);
    reloader::report(&documents, &targets, &mut output);
    for target in &targets {
        target.write(&cluster, &mut output);
    }
    unused_stores::remove(&cluster, &targets, &mut output);
    let (text, notes) = output.finish();
    Conversion { text, notes, errors }
}
