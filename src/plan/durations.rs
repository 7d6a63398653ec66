//! Durations that a class may set, up to the operator's limit.

use std::time::Duration;

use super::Defaults;
use super::attributes::Attributes;
use super::finding::{Fault, Findings, quoted};

/// `rotationMaxAge`, up to `--rotation-max-age-limit`.
pub(super) fn rotation_max_age(
    attributes: &Attributes,
    defaults: &Defaults,
    findings: &mut Findings,
) -> Duration {
    let limit = DurationLimit { flag: "--rotation-max-age-limit", max: defaults.rotation_max_age_limit };
    parse_limited(attributes, "rotationMaxAge", limit, findings).unwrap_or(defaults.rotation_max_age)
}

/// `staleIfError`, up to `--stale-if-error`, which is also the default.
pub(super) fn stale_if_error(
    attributes: &Attributes,
    defaults: &Defaults,
    findings: &mut Findings,
) -> Duration {
    let limit = DurationLimit { flag: "--stale-if-error", max: defaults.stale_if_error };
    parse_limited(attributes, "staleIfError", limit, findings).unwrap_or(defaults.stale_if_error)
}

#[derive(Clone, Copy)]
struct DurationLimit {
    flag: &'static str,
    max: Duration,
}

fn parse_limited(
    attributes: &Attributes,
    key: &str,
    limit: DurationLimit,
    findings: &mut Findings,
) -> Option<Duration> {
    let text = attributes.text(key)?;
    let DurationLimit { flag, max } = limit;
    let parsed = parse(text).and_then(|duration| {
        if duration <= max {
            return Ok(duration);
        }
        let max = humantime::format_duration(max);
        let problem = format!("{} exceeds the operator's limit of {max}", quoted(text));
        Err(Fault::new(problem, format!("set a shorter duration, or ask the operator to raise {flag}")))
    });
    findings.take(key, parsed)
}

fn parse(text: &str) -> Result<Duration, Fault> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text).map_err(|_| {
        let help = "write a number with its unit, such as 90s, 10m, 1h or 1h30m; 0 disables it";
        Fault::new(format!("{} is not a duration", quoted(text)), help)
    })
}
