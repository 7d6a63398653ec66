//! Manifests of the External Secrets Operator in, manifests of the Secrets Store CSI driver out.
//!
//! An `ExternalSecret` becomes a `SecretProviderClass` of its name in its place; volumes of the Secret
//! that it made become volumes of the class; whatever else needs the Secret has the driver make it.
//! What nobody here changes stays as it is written, with its comments and in its order.
//!
//! Facts of the operator are from its API types and the documentation of its provider
//! "Azure Key Vault".

mod class;
mod cluster;
mod data;
mod edit;
mod input;
mod login;
mod metadata;
mod note;
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

/// What was made of some files.
#[derive(Debug)]
pub struct Conversion {
    /// The documents, ready to be applied.
    pub text: String,
    /// What whoever applies them must know. It is in the text, too, as comments.
    pub notes: Vec<Note>,
    /// Documents that cannot be read, and are in the text as they are.
    pub errors: Vec<ManifestError>,
}

/// Converts files that belong together: what one refers to is looked for in all.
pub fn convert(sources: &[ManifestSource]) -> Conversion {
    let (documents, errors) = input::read(sources);
    let cluster = Cluster::of(&documents);
    let mut output = ConversionOutput::new(&documents);
    let mut targets = TargetSecret::all(&documents, &cluster, &mut output);
    for target in &mut targets {
        target.find_users(&documents);
    }
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
