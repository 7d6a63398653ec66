//! Active rules, and their effect on a request.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::{BadCertificate, Fault, Rule, Service};
use crate::lock;
use crate::record::RequestKind;

/// The properties of a request that rules match.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) service: Service<'a>,
    pub(crate) kind: RequestKind,
    pub(crate) object: Option<&'a str>,
    pub(crate) method: &'a str,
    pub(crate) path_and_query: &'a str,
}

/// The effect of the active rules on a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) delay: Duration,
    pub(crate) fault: Option<Fault>,
}

/// The active rules, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<Injected>>);

#[derive(Debug)]
struct Injected {
    rule: Rule,
    begins: Instant,
    struck: u32,
    /// Of a limit, by vault.
    windows: HashMap<String, Window>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    taken: u32,
}

impl Faults {
    pub(crate) fn inject(&self, rule: Rule, now: Instant) {
        lock(&self.0).push(Injected::new(rule, now));
    }

    pub(crate) fn replace(&self, rules: Vec<Rule>, now: Instant) {
        *lock(&self.0) = rules.into_iter().map(|rule| Injected::new(rule, now)).collect();
    }

    pub(crate) fn heal(&self) {
        lock(&self.0).clear();
    }

    /// The effect of the rules on an arriving request.
    pub(crate) fn effect(&self, asked: &Asked<'_>, now: Instant) -> Effect {
        let mut effect = Effect::default();
        for injected in lock(&self.0).iter_mut().rev() {
            if !injected.is_in_force(now) || !injected.rule.covers(asked) {
                continue;
            }
            match &injected.rule.fault {
                Fault::ClockSkew { .. } | Fault::Revoked | Fault::Certificate(_) => continue,
                Fault::Latency(delay) => effect.delay = effect.delay.saturating_add(*delay),
                _ if effect.fault.is_some() => continue,
                Fault::Limit { requests, per, retry_after } => {
                    let (requests, per, retry_after) = (*requests, *per, *retry_after);
                    if injected.window(asked.service, per, now).takes(requests) {
                        continue;
                    }
                    effect.fault = Some(Fault::Throttle { retry_after });
                }
                fault => effect.fault = Some(fault.clone()),
            }
            injected.struck = injected.struck.saturating_add(1);
        }
        effect
    }

    /// Whether a connection to these services is refused.
    pub(crate) fn refuses(&self, services: &[Service<'_>], now: Instant) -> bool {
        self.meets(services, now, |fault| (*fault == Fault::Refuse).then_some(())).is_some()
    }

    /// The bad certificate for a connection to these services, if there is one.
    pub(crate) fn certificate(&self, services: &[Service<'_>], now: Instant) -> Option<BadCertificate> {
        self.meets(services, now, |fault| match fault {
            Fault::Certificate(bad) => Some(*bad),
            _ => None,
        })
    }

    fn meets<T>(
        &self,
        services: &[Service<'_>],
        now: Instant,
        of_interest: fn(&Fault) -> Option<T>,
    ) -> Option<T> {
        lock(&self.0).iter_mut().rev().find_map(|injected| {
            let met = of_interest(&injected.rule.fault)?;
            if !services.iter().any(|service| injected.strikes(*service, now)) {
                return None;
            }
            injected.struck = injected.struck.saturating_add(1);
            Some(met)
        })
    }

    /// Seconds that the clock of a service is ahead, by its newest rule.
    pub(crate) fn clock_skew(&self, service: Service<'_>, now: Instant) -> time::Duration {
        let rules = lock(&self.0);
        let skew = rules.iter().rev().find_map(|injected| match injected.rule.fault {
            Fault::ClockSkew { seconds } if injected.strikes(service, now) => Some(seconds),
            _ => None,
        });
        time::Duration::seconds(skew.unwrap_or_default())
    }

    /// When the access tokens of a vault's callers were last revoked.
    pub(crate) fn revoked(&self, service: Service<'_>, now: Instant) -> Option<Instant> {
        let rules = lock(&self.0);
        let revoking =
            |injected: &&Injected| injected.rule.fault == Fault::Revoked && injected.strikes(service, now);
        rules.iter().filter(revoking).map(|injected| injected.begins).max()
    }
}

impl Injected {
    fn new(rule: Rule, now: Instant) -> Self {
        Self { begins: now + rule.after, rule, struck: 0, windows: HashMap::new() }
    }

    fn is_in_force(&self, now: Instant) -> bool {
        now >= self.begins
            && self.rule.lasting.is_none_or(|lasting| now - self.begins < lasting)
            && self.rule.times.is_none_or(|times| self.struck < times)
    }

    fn strikes(&self, service: Service<'_>, now: Instant) -> bool {
        self.is_in_force(now) && self.rule.target.covers(service)
    }

    fn window(&mut self, service: Service<'_>, per: Duration, now: Instant) -> &mut Window {
        let name = if let Service::Vault(name) = service { name } else { "" };
        let window = self.windows.entry(name.to_owned()).or_insert(Window { began: now, taken: 0 });
        if now - window.began >= per {
            *window = Window { began: now, taken: 0 };
        }
        window
    }
}

impl Window {
    fn takes(&mut self, requests: u32) -> bool {
        let takes = self.taken < requests;
        self.taken += u32::from(takes);
        takes
    }
}

#[cfg(test)]
mod tests;
