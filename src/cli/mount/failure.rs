//! Why a mount failed, and the commands that fix it, with the names that it has.

mod identity;
mod shell;
mod vault;

use std::fmt::Display;

use super::message::Message;
use super::preparation::Preparation;
use crate::deliver::DeliverError;
use crate::mount::{MountError, ObjectError};
use shell::word;

/// Hosts that only flags name.
pub(super) struct Hosts<'a> {
    pub(super) imds: &'a str,
    pub(super) token_proxy: &'a str,
}

/// The error of each object, or that of the whole mount, each with its help; with `explain`, after the step that
/// failed.
pub(super) fn explain(
    error: MountError,
    preparation: &Preparation,
    hosts: &Hosts<'_>,
    explain: bool,
) -> Vec<Message> {
    // The warnings have been shown.
    let (error, _) = error.into_parts();
    let said = |error: &dyn Display| for_people(&error.to_string());
    let step = Message::note(format!("the mount failed at the {}", step(&error)));
    let mut messages = explain.then_some(step).into_iter().collect::<Vec<_>>();
    match &error {
        MountError::Objects(errors) => {
            messages.extend(errors.iter().map(|error| object(error, preparation)));
        }
        MountError::Identity(error) => {
            let location = match preparation.caller.source() {
                "" => &preparation.class.location,
                source => source,
            };
            let help = identity::help(error, preparation, hosts);
            messages.push(Message::error(location, said(error)).helps(help));
        }
        MountError::Deliver(error) => {
            messages.push(Message::error("", said(error)).helps(directory(error)));
        }
        MountError::Late if !explain => {
            let help = "--explain shows which step takes the time";
            messages.push(Message::error("", said(&error)).help(help));
        }
        error => messages.push(Message::error("", said(error))),
    }
    messages
}

fn object(error: &ObjectError, preparation: &Preparation) -> Message {
    let (place, help) = match error {
        ObjectError::Vault(error) => (error.location(), vault::help(error, preparation)),
        ObjectError::Template(error) => {
            let location = preparation.class.location.clone();
            return Message::error(location, error.to_string());
        }
        ObjectError::Render(error) => (error.location(), vault::content_help(error.location(), preparation)),
    };
    let location = preparation.objects.get(place).unwrap_or(&preparation.class.location);
    Message::error(location.clone(), for_people(&error.to_string())).helps(help)
}

/// What errors promise to pods, whose mounts kubelet tries again. This command mounts once.
const PROMISES: [&str; 2] = ["; kubelet will retry the mount", "; kubelet will retry"];

fn for_people(error: &str) -> String {
    PROMISES.iter().fold(error.to_owned(), |text, promise| text.replace(promise, ""))
}

fn step(error: &MountError) -> &'static str {
    match error {
        MountError::Plan(_) => "plan",
        MountError::Identity(_) => "identity",
        MountError::Objects(errors)
            if matches!(errors.first(), Some(ObjectError::Render(_) | ObjectError::Template(_))) =>
        {
            "rendering"
        }
        MountError::Objects(_) => "vault",
        MountError::Deliver(_) => "writing",
        MountError::Warned { error, .. } => step(error),
        // Only a server has a policy.
        MountError::Denied(_) | MountError::Late | MountError::Stopping | MountError::Defect => {
            "step that is last above"
        }
    }
}

fn directory(error: &DeliverError) -> Vec<String> {
    let shown = |path: &std::path::Path| word(&path.to_string_lossy());
    match error {
        DeliverError::Io { target, .. } => vec![format!("df -h {0}; ls -ld {0}; id", shown(target))],
        DeliverError::ForeignEntry { target, path, .. } => {
            vec![format!("ls -ld {}", shown(&target.join(path)))]
        }
        DeliverError::Target { target, .. } | DeliverError::Unmounted(target) => {
            vec![format!("findmnt -T {}", shown(target))]
        }
        DeliverError::Busy(target) => vec![format!("fuser -v {}", shown(target))],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::IdentityError;
    use crate::mount::MountError;

    #[test]
    fn no_error_promises_that_the_command_tries_again() {
        let authority = || "Entra".to_owned();
        for error in [
            MountError::Late,
            MountError::Identity(IdentityError::Queued),
            MountError::Identity(IdentityError::Unreachable { authority: authority(), reason: authority() }),
        ] {
            let text = error.to_string();
            let told = for_people(&text);
            assert!(
                told.len() < text.len() && !told.contains("again") && !told.contains("kubelet"),
                "{told}"
            );
        }
    }
}
