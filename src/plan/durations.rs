//! Durations that a class may choose, up to what the operator allows.

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
    let limit = DurationLimit { flag: "--rotation-max-age-limit", longest: defaults.rotation_max_age_limit };
    chosen(attributes, "rotationMaxAge", limit, findings).unwrap_or(defaults.rotation_max_age)
}

/// `staleIfError`, up to `--stale-if-error`, which is also what a class gets that does not choose.
pub(super) fn stale_if_error(
    attributes: &Attributes,
    defaults: &Defaults,
    findings: &mut Findings,
) -> Duration {
    let limit = DurationLimit { flag: "--stale-if-error", longest: defaults.stale_if_error };
    chosen(attributes, "staleIfError", limit, findings).unwrap_or(defaults.stale_if_error)
}

#[derive(Clone, Copy)]
struct DurationLimit {
    flag: &'static str,
    longest: Duration,
}

fn chosen(
    attributes: &Attributes,
    key: &str,
    limit: DurationLimit,
    findings: &mut Findings,
) -> Option<Duration> {
    let text = attributes.text(key)?;
    let DurationLimit { flag, longest } = limit;
    let asked = parse(text).and_then(|asked| {
        if asked <= longest {
            return Ok(asked);
        }
        let longest = humantime::format_duration(longest);
        let problem = format!("{} is more than {longest}, the operator's limit", quoted(text));
        Err(Fault::new(problem, format!("ask for less, or have {flag} raised")))
    });
    findings.take(key, asked)
}

fn parse(text: &str) -> Result<Duration, Fault> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text).map_err(|_| {
        let help = "write a number with its unit, such as 90s, 10m, 1h or 1h30m; 0 for none";
        Fault::new(format!("{} is not a duration", quoted(text)), help)
    })
}
