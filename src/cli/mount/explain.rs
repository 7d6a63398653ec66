//! `--explain`: the pipeline's own events, for somebody who watches one mount.

use std::fmt::{Debug, Write as _};
use std::io::{self, Write as _};

use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::identity::IdentityError;
use crate::mount::{MountError, ObjectError};

/// Writes events to standard error, each with the time since the start.
pub(super) struct Explanation {
    start: Instant,
}

impl Explanation {
    pub(super) fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl<S: Subscriber> Layer<S> for Explanation {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let kind = match *event.metadata().level() {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            _ => "",
        };
        let Line { message, fields } = line;
        let colon = if fields.is_empty() || message.is_empty() { "" } else { ": " };
        let milliseconds = self.start.elapsed().as_millis();
        // Nobody is left to be told that standard error is closed.
        let _ = writeln!(io::stderr().lock(), "{milliseconds:>6} ms  {kind}{message}{colon}{fields}");
    }
}

/// An event's words: `object fetched`, and `version 1f…, took 3 ms`.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let value = plain(&format!("{value:?}"));
        self.add(field, &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, &plain(value));
    }
}

impl Line {
    fn add(&mut self, field: &Field, value: &str) {
        let comma = if self.fields.is_empty() { "" } else { ", " };
        // Writing into a String does not fail.
        let _ = match field.name() {
            "message" => self.message.write_str(value),
            "milliseconds" => write!(self.fields, "{comma}took {value} ms"),
            name => write!(self.fields, "{comma}{name} {value}"),
        };
    }
}

/// Servers chose some of these words; a line stays a line.
fn plain(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// The step at which a mount failed, and what to check next besides what its error says.
pub(super) fn next(error: &MountError) -> (&'static str, &'static str) {
    match error {
        MountError::Plan(_) => ("plan", "the class: nobody has been asked for anything yet"),
        MountError::Identity(IdentityError::Refused(_)) => (
            "identity",
            "the identity, not the network or the vault: its federated credentials (az identity federated-credential list) or its secrets and certificates (az ad app credential list)",
        ),
        MountError::Identity(_) => (
            "identity",
            "the way from here to the host that is named: curl -v https://HOST/, with the same HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE; the vault has not been asked",
        ),
        MountError::Objects(errors) => match errors.first() {
            Some(ObjectError::Render(_)) => {
                ("rendering", "the object in the vault: it was fetched, and is not what the class says")
            }
            Some(ObjectError::Vault(error)) if error.is_unavailable() => (
                "vault",
                "the way from here to the vault: nslookup HOST, and curl -v https://HOST/healthstatus, with the same HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE; the identity has its access token",
            ),
            _ => (
                "vault",
                "the object and who may read it, not the network or the token: az keyvault secret list, az role assignment list --assignee CLIENT --scope VAULT",
            ),
        },
        MountError::Deliver(_) => {
            ("writing", "the directory: findmnt -T DIR, df DIR, id; all objects have been fetched")
        }
        MountError::Warned { error, .. } => next(error),
        // Only a server has a policy.
        MountError::Denied(_) | MountError::Late | MountError::Stopping | MountError::Defect => {
            ("mount", "the last step above")
        }
    }
}
