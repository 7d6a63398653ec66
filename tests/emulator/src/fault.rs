//! Faults that a test injects.

use std::sync::Mutex;
use std::time::Duration;

use crate::lock;

/// Whose answers a fault spoils.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Entra: token endpoint, also through the cluster's token proxy, and discovery.
    Entra,
    /// One vault, by name.
    Vault(String),
    /// Every vault.
    AllVaults,
    /// The service account issuer: discovery, keys and token requests.
    Issuer,
    /// The Kubernetes API server: reading service accounts. A [`Fault::Status`] of 401, 403 or 404 is
    /// said as the API server says it.
    ApiServer,
    /// The instance metadata service.
    Imds,
}

/// What goes wrong. Of several faults for one target the delays add up, and the newest of the others
/// decides the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This status, with an error body of the service's own form.
    Status(u16),
    /// This status, with the HTML of a gateway that stands before the service.
    Gateway(u16),
    /// 200 with a body that is not JSON.
    Garbage,
    /// The request is read and never answered.
    Hang,
    /// The connection is closed instead of an answer.
    Disconnect,
    /// The answer comes this much later.
    Latency(Duration),
    /// 429 as the service says it.
    Throttle {
        /// The `Retry-After` header, in whole seconds.
        retry_after: Option<Duration>,
    },
}

/// The service that a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service<'a> {
    Entra,
    Vault(&'a str),
    Issuer,
    ApiServer,
    Imds,
}

/// The faults in force.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<(Target, Fault)>>);

/// What the faults in force do to one request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) delay: Duration,
    pub(crate) instead: Option<Fault>,
}

impl Faults {
    pub(crate) fn inject(&self, target: Target, fault: Fault) {
        lock(&self.0).push((target, fault));
    }

    pub(crate) fn heal(&self) {
        lock(&self.0).clear();
    }

    pub(crate) fn effect(&self, service: Service<'_>) -> Effect {
        let mut effect = Effect::default();
        for (_, fault) in lock(&self.0).iter().filter(|(target, _)| target.covers(service)) {
            match fault {
                Fault::Latency(delay) => effect.delay += *delay,
                other => effect.instead = Some(other.clone()),
            }
        }
        effect
    }
}

impl Target {
    fn covers(&self, service: Service<'_>) -> bool {
        match (self, service) {
            (Self::Entra, Service::Entra)
            | (Self::AllVaults, Service::Vault(_))
            | (Self::Issuer, Service::Issuer)
            | (Self::ApiServer, Service::ApiServer)
            | (Self::Imds, Service::Imds) => true,
            (Self::Vault(name), Service::Vault(asked)) => name.eq_ignore_ascii_case(asked),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_add_up_and_the_newest_other_fault_decides() {
        let faults = Faults::default();
        faults.inject(Target::AllVaults, Fault::Latency(Duration::from_secs(1)));
        faults.inject(Target::Vault("One".to_owned()), Fault::Latency(Duration::from_secs(2)));
        faults.inject(Target::AllVaults, Fault::Hang);
        faults.inject(Target::Vault("one".to_owned()), Fault::Status(503));
        let one = Effect { delay: Duration::from_secs(3), instead: Some(Fault::Status(503)) };
        let two = Effect { delay: Duration::from_secs(1), instead: Some(Fault::Hang) };
        assert_eq!(faults.effect(Service::Vault("one")), one);
        assert_eq!(faults.effect(Service::Vault("two")), two);
        assert_eq!(faults.effect(Service::Entra), Effect::default());
        faults.heal();
        assert_eq!(faults.effect(Service::Vault("one")), Effect::default());
    }
}
