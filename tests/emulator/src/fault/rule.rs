//! A fault, limited to some requests or times.

use std::time::Duration;

use http::StatusCode;

use super::force::Asked;
use super::{Fault, Target};
use crate::record::RequestKind;

/// A fault that affects some requests only, or only the first of them, or for a period.
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
/// As text, a rule is `KEY=VALUE,…`, or a map with the same keys in a list ([`Rule::list`]):
///
/// | key | value |
/// | --- | --- |
/// | `target` | `entra`, `vaults`, `issuer`, `api-server` or `imds`; or instead |
/// | `vault` | the name of one vault |
/// | `fault` | `status`, `gateway` (both with `status`), `refusal` (with `aadsts`, `status`, `error`), `throttle` (with or without `retry-after`), `limit` (with `requests`, `per`, with or without `retry-after`), `latency` (with `delay`), `clock-skew` (with `skew`), `certificate` (with `certificate`), `refuse`, `reset`, `disconnect`, `hang`, `hang-in-body`, `truncate`, `wrong-length`, `garbage`, `revoked` |
/// | `status` | 400 or more |
/// | `aadsts` | the number of one of Entra's error codes |
/// | `error` | an OAuth error, such as `invalid_client` |
/// | `retry-after`, `delay`, `per` | a duration, as in `500ms`, `2s`, `1m` |
/// | `requests` | maximum number in a window |
/// | `skew` | a duration; with a `-`, the clock is behind |
/// | `certificate` | `expired`, `self-signed`, `other-authority` or `wrong-name` |
/// | `kind` | only requests of this kind, such as `secret` or `token` |
/// | `object` | only requests for this object |
/// | `path` | only requests whose path and query contain this |
/// | `times` | only this number of requests |
/// | `after`, `for` | a duration: delay until the fault starts, and its length |
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

/// Maximum of a rule's times.
pub(super) const LONGEST: Duration = Duration::from_hours(24_000);

/// The findings about an invalid rule, each with its location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct RuleError(pub(super) Vec<String>);

impl Rule {
    /// A rule for every request to the target, from now on.
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

    /// Limits the rule to requests of this kind, as seen when they arrive: a request to a vault without a token
    /// is a challenge.
    #[must_use]
    pub fn kind(self, kind: RequestKind) -> Self {
        Self { kind: Some(kind), ..self }
    }

    /// Limits the rule to requests for the object of this name; case is ignored.
    #[must_use]
    pub fn object(self, name: impl Into<String>) -> Self {
        Self { object: Some(name.into()), ..self }
    }

    /// Limits the rule to requests whose path and query contain this text.
    #[must_use]
    pub fn path(self, part: impl Into<String>) -> Self {
        Self { path: Some(part.into()), ..self }
    }

    /// Limits the rule to this number of requests; of connections, for faults that affect connections.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Starts the fault this time after its injection.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self { after: delay, ..self }
    }

    /// Ends the fault this time after its start.
    #[must_use]
    pub fn lasting(self, duration: Duration) -> Self {
        Self { lasting: Some(duration), ..self }
    }

    /// Checks for rules that could never apply, or not as intended.
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
            findings.push(format!("status: {status} is not an error; use 400 to 999"));
        }
        if let Fault::Throttle { retry_after: Some(delay) } | Fault::Limit { retry_after: Some(delay), .. } =
            self.fault
            && delay.subsec_nanos() > 0
        {
            findings
                .push(format!("retry-after: {delay:?} is not a whole number of seconds; use whole seconds"));
        }
        // Longer times could overflow a date.
        if let Fault::ClockSkew { seconds } = self.fault
            && seconds.unsigned_abs() > LONGEST.as_secs()
        {
            findings.push("skew: out of range; use at most 1000days".to_owned());
        }
        if self.after > LONGEST {
            findings.push("after: out of range; use at most 1000days".to_owned());
        }
        if let Fault::Limit { per: Duration::ZERO, .. } = self.fault {
            findings.push("per: the window must be longer than 0s; use, for example, 10s".to_owned());
        }
        if self.times == Some(0) {
            findings.push("times: 0 is out of range; use 1 or more".to_owned());
        }
    }

    fn check_narrowing(&self, findings: &mut Vec<String>) {
        let lasting_state = matches!(self.fault, Fault::ClockSkew { .. } | Fault::Revoked);
        let before_requests = matches!(self.fault, Fault::Refuse | Fault::Certificate(_));
        for (place, given) in
            [("kind", self.kind.is_some()), ("object", self.object.is_some()), ("path", self.path.is_some())]
        {
            if given && before_requests {
                findings.push(format!("{place}: this fault affects connections, not requests; remove it"));
            } else if given && lasting_state {
                findings.push(format!("{place}: this fault affects all requests; remove it"));
            }
        }
        if self.times.is_some() && (lasting_state || matches!(self.fault, Fault::Limit { .. })) {
            findings.push("times: this fault affects all requests; remove it, or use for".to_owned());
        }
    }

    fn check_target(&self, findings: &mut Vec<String>) {
        let problem = match (&self.fault, &self.target) {
            (Fault::Certificate(_), Target::Imds) => "the metadata service does not use TLS",
            (Fault::Refusal { .. }, target) if !matches!(target, Target::Entra | Target::Imds) => {
                "only Entra sends AADSTS codes; use entra, or imds, which forwards them"
            }
            (Fault::Revoked, target) if !target.is_vault() => {
                "only vaults refuse revoked tokens; use a vault or vaults"
            }
            (Fault::ClockSkew { .. }, Target::ApiServer | Target::Imds) => {
                "clock-skew needs entra, issuer, or a vault"
            }
            _ => return,
        };
        findings.push(format!("target: {problem}"));
    }

    /// Whether the rule matches this request, regardless of time.
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
