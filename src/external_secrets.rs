//! Manifests of the External Secrets Operator in, manifests of the Secrets Store CSI driver out.
//!
//! An `ExternalSecret` becomes a `SecretProviderClass` of its name in its place; volumes of the Secret
//! that it made become volumes of the class; whatever else needs the Secret has the driver make it.
//! What nobody here changes stays as it is written, with its comments and in its order.
//!
//! Facts of the operator are from its API types and the documentation of its provider
//! "Azure Key Vault".

mod annotations;
mod class;
mod cluster;
mod data;
mod edit;
mod login;
mod note;
mod other_operators;
mod output;
mod pieces;
mod pod_specs;
mod schema;
mod secret;
mod store;
mod target;
mod template;
mod templated;
#[cfg(test)]
mod tests;
mod workload;
mod workload_edit;
mod write;

use crate::manifest::{ManifestError, ManifestSource};
use cluster::Cluster;
pub use note::{Note, Weight};
use output::Output;
use target::Target;

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
    let (pieces, errors) = pieces::read(sources);
    let cluster = Cluster::of(&pieces);
    let mut output = Output::new(&pieces);
    let mut targets = Target::all(&pieces, &cluster, &mut output);
    for target in &mut targets {
        target.look_for_users(&pieces);
    }
    target::name_classes(&mut targets, &pieces);
    workload_edit::change(&pieces, &mut targets, &mut output);
    annotations::report(&pieces, &targets, &mut output);
    for target in &targets {
        target.write(&cluster, &mut output);
    }
    output.leave_out_stores(&cluster, &targets);
    let (text, notes) = output.finish();
    Conversion { text, notes, errors }
}
