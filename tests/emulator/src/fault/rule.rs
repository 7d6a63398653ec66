//! A fault with its occasions.

use std::time::Duration;

use http::StatusCode;

use super::force::Asked;
use super::{Fault, Target};
use crate::record::RequestKind;

/// A fault that strikes some requests only, or only the first of them, or for a while.
///
/// ```
/// # use std::time::Duration;
/// # use keyvault_emulator::{Fault, RequestKind, Rule, Target};
/// let down = Rule::new(Target::Entra, Fault::Status(503)).kind(RequestKind::Token);
/// let shaky = Rule::new(Target::Vault("main".to_owned()), Fault::Reset).object("password").times(2);
/// let disabled = Fault::Refusal { code: 7_000_112, status: 401, error: "unauthorized_client".to_owned() };
/// let disabled = Rule::new(Target::Entra, disabled).kind(RequestKind::Token);
/// let storm = Rule::new(Target::AllVaults, Fault::Throttle { retry_after: None })
///     .after(Duration::from_secs(10))
///     .lasting(Duration::from_secs(30));
/// assert_eq!("target=entra,kind=token,fault=status,status=503".parse(), Ok(down));
/// let text = "target=entra,kind=token,fault=refusal,aadsts=7000112,status=401,error=unauthorized_client";
/// assert_eq!(text.parse(), Ok(disabled));
/// assert_eq!("vault=main,object=password,fault=reset,times=2".parse(), Ok(shaky));
/// assert_eq!("target=vaults,fault=throttle,after=10s,for=30s".parse(), Ok(storm));
/// ```
///
/// Written down, a rule is `KEY=VALUE,…`, or in a list ([`Rule::list`]) a map of the same keys:
///
/// | key | value |
/// | --- | --- |
/// | `target` | `entra`, `vaults`, `issuer`, `api-server` or `imds`; or instead |
/// | `vault` | the name of one vault |
/// | `fault` | `status`, `gateway` (both with `status`), `refusal` (with `aadsts`, `status`, `error`), `throttle` (with or without `retry-after`), `limit` (with `requests`, `per`, with or without `retry-after`), `latency` (with `delay`), `clock-skew` (with `skew`), `certificate` (with `certificate`), `refuse`, `reset`, `disconnect`, `hang`, `hang-in-body`, `truncate`, `wrong-length`, `garbage`, `revoked` |
/// | `status` | from 400 |
/// | `aadsts` | the number of one of Entra's error codes |
/// | `error` | an OAuth error, such as `invalid_client` |
/// | `retry-after`, `delay`, `per` | a duration, as in `500ms`, `2s`, `1m` |
/// | `requests` | how many a window takes |
/// | `skew` | a duration; with a `-`, the clock is behind |
/// | `certificate` | `expired`, `self-signed`, `other-authority` or `wrong-name` |
/// | `kind` | only requests of this kind, such as `secret` or `token` |
/// | `object` | only requests for this object |
/// | `path` | only requests with this in their path and query |
/// | `times` | only the first so many |
/// | `after`, `for` | a duration: begin so much later, end so much after that |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub(super) target: Target,
    pub(super) fault: Fault,
    pub(super) kind: Option<RequestKind>,
    pub(super) object: Option<String>,
    pub(super) path: Option<String>,
    pub(super) times: Option<u32>,
    pub(super) after: Duration,
    pub(super) lasting: Option<Duration>,
}

/// No rule is about times beyond that.
pub(super) const LONGEST: Duration = Duration::from_hours(24_000);

/// Why a rule cannot be used: every finding, each with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct RuleError(pub(super) Vec<String>);

impl Rule {
    /// Strikes every request to the target, from now on.
    pub fn new(target: Target, fault: Fault) -> Self {
        Self {
            target,
            fault,
            kind: None,
            object: None,
            path: None,
            times: None,
            after: Duration::ZERO,
            lasting: None,
        }
    }

    /// Only requests of this kind, as it looks when they come: a vault that is asked without a token is
    /// asked for a challenge.
    #[must_use]
    pub fn kind(self, kind: RequestKind) -> Self {
        Self { kind: Some(kind), ..self }
    }

    /// Only requests for the object of this name, whatever its case.
    #[must_use]
    pub fn object(self, name: impl Into<String>) -> Self {
        Self { object: Some(name.into()), ..self }
    }

    /// Only requests whose path and query have this in them.
    #[must_use]
    pub fn path(self, part: impl Into<String>) -> Self {
        Self { path: Some(part.into()), ..self }
    }

    /// Only the first so many requests that it would strike; for faults before a request, connections.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Begins so long after it is injected.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self { after: delay, ..self }
    }

    /// Ends so long after it began.
    #[must_use]
    pub fn lasting(self, duration: Duration) -> Self {
        Self { lasting: Some(duration), ..self }
    }

    /// Finds what could never strike, or not as it is meant.
    pub(crate) fn check(&self) -> Result<(), RuleError> {
        let mut findings = Vec::new();
        self.check_numbers(&mut findings);
        self.check_target(&mut findings);
        self.check_narrowing(&mut findings);
        if findings.is_empty() { Ok(()) } else { Err(RuleError(findings)) }
    }

    fn check_numbers(&self, findings: &mut Vec<String>) {
        if let Fault::Status(status) | Fault::Gateway(status) | Fault::Refusal { status, .. } = self.fault
            && !StatusCode::from_u16(status).is_ok_and(|status| status.as_u16() >= 400)
        {
            findings.push(format!("status: {status} is no error; write one from 400 to 999"));
        }
        if let Fault::Throttle { retry_after: Some(delay) } | Fault::Limit { retry_after: Some(delay), .. } =
            self.fault
            && delay.subsec_nanos() > 0
        {
            findings.push(format!("retry-after: {delay:?} cannot be said; write whole seconds"));
        }
        // Beyond that, sums of times may have no date any more.
        if let Fault::ClockSkew { seconds } = self.fault
            && seconds.unsigned_abs() > LONGEST.as_secs()
        {
            findings.push("skew: it is too far; write at most 1000days".to_owned());
        }
        if self.after > LONGEST {
            findings.push("after: it would never begin; write at most 1000days".to_owned());
        }
        if let Fault::Limit { per: Duration::ZERO, .. } = self.fault {
            findings.push("per: a window lasts longer than nothing; write 10s, say".to_owned());
        }
        if self.times == Some(0) {
            findings.push("times: 0 requests are none; write 1 or more".to_owned());
        }
    }

    fn check_narrowing(&self, findings: &mut Vec<String>) {
        let lasting_state = matches!(self.fault, Fault::ClockSkew { .. } | Fault::Revoked);
        let before_requests = matches!(self.fault, Fault::Refuse | Fault::Certificate(_));
        for (place, given) in
            [("kind", self.kind.is_some()), ("object", self.object.is_some()), ("path", self.path.is_some())]
        {
            if given && before_requests {
                findings.push(format!("{place}: the fault strikes before there is a request; leave it out"));
            } else if given && lasting_state {
                findings.push(format!("{place}: the fault is one of all requests; leave it out"));
            }
        }
        if self.times.is_some() && (lasting_state || matches!(self.fault, Fault::Limit { .. })) {
            findings.push("times: the fault is one of all requests; leave it out, or write for".to_owned());
        }
    }

    fn check_target(&self, findings: &mut Vec<String>) {
        let problem = match (&self.fault, &self.target) {
            (Fault::Certificate(_), Target::Imds) => "the metadata service is asked without TLS",
            (Fault::Refusal { .. }, target) if !matches!(target, Target::Entra | Target::Imds) => {
                "AADSTS codes come from Entra; target entra, or imds, which passes them on"
            }
            (Fault::Revoked, target) if !target.is_vault() => {
                "it is vaults that refuse revoked tokens; target them"
            }
            (Fault::ClockSkew { .. }, Target::ApiServer | Target::Imds) => {
                "the clocks that matter are those of entra, issuer and vaults; target one of them"
            }
            _ => return,
        };
        findings.push(format!("target: {problem}"));
    }

    /// Whether it strikes this request, as far as that does not depend on time.
    pub(super) fn covers(&self, asked: &Asked<'_>) -> bool {
        self.target.covers(asked.service)
            && self.kind.is_none_or(|kind| kind == asked.kind)
            && self.path.as_ref().is_none_or(|part| asked.path_and_query.contains(part))
            && self.is_recorded_for(asked)
            && self
                .object
                .as_ref()
                .is_none_or(|name| asked.object.is_some_and(|asked| asked.eq_ignore_ascii_case(name)))
    }

    fn is_recorded_for(&self, asked: &Asked<'_>) -> bool {
        match &self.fault {
            Fault::Recorded(recorded) => recorded.answers(asked.method, asked.path_and_query),
            _ => true,
        }
    }
}
