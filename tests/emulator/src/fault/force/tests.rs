use super::*;
use crate::fault::Target;

const SECOND: Duration = Duration::from_secs(1);

fn secret(vault: &str) -> Asked<'_> {
    Asked {
        service: Service::Vault(vault),
        kind: RequestKind::Secret,
        object: Some("password"),
        method: "GET",
        path_and_query: "/secrets/password?api-version=7.5",
    }
}

fn of(rules: Vec<Rule>, now: Instant) -> Faults {
    let faults = Faults::default();
    faults.replace(rules, now);
    faults
}

fn is_struck(faults: &Faults, asked: &Asked<'_>, now: Instant) -> bool {
    faults.effect(asked, now).fault.is_some()
}

#[test]
fn delays_add_up_and_the_newest_other_fault_decides() {
    let now = Instant::now();
    let faults = of(
        vec![
            Rule::new(Target::AllVaults, Fault::Latency(SECOND)),
            Rule::new(Target::Vault("One".to_owned()), Fault::Latency(2 * SECOND)),
            Rule::new(Target::AllVaults, Fault::Hang),
            Rule::new(Target::Vault("one".to_owned()), Fault::Status(503)),
        ],
        now,
    );
    let one = Effect { delay: 3 * SECOND, fault: Some(Fault::Status(503)) };
    let two = Effect { delay: SECOND, fault: Some(Fault::Hang) };
    assert_eq!(faults.effect(&secret("one"), now), one);
    assert_eq!(faults.effect(&secret("two"), now), two);
    assert_eq!(faults.effect(&Asked { service: Service::Entra, ..secret("one") }, now), Effect::default());
    faults.heal();
    assert_eq!(faults.effect(&secret("one"), now), Effect::default());
}

#[test]
fn a_rule_strikes_what_it_names_and_nothing_else() {
    let now = Instant::now();
    let rule = || Rule::new(Target::AllVaults, Fault::Reset);
    let (asked, other) =
        (secret("one"), Asked { object: Some("other"), path_and_query: "/x", ..secret("one") });
    let listing = Asked { kind: RequestKind::SecretList, object: None, ..asked };
    for (rule, strikes) in [
        (rule(), [true, true, true]),
        (rule().kind(RequestKind::Secret), [true, true, false]),
        (rule().object("PassWord"), [true, false, false]),
        (rule().path("/secrets/"), [true, false, true]),
        (rule().path("/secrets/").object("other"), [false, false, false]),
    ] {
        let faults = of(vec![rule.clone()], now);
        let struck = [&asked, &other, &listing].map(|asked| is_struck(&faults, asked, now));
        assert_eq!(struck, strikes, "{rule:?}");
    }
}

#[test]
fn a_rule_begins_and_ends_when_it_says() {
    let start = Instant::now();
    let rule = Rule::new(Target::AllVaults, Fault::Hang).after(10 * SECOND).lasting(5 * SECOND);
    let faults = of(vec![rule], start);
    let struck =
        [0, 9, 10, 14, 15, 100].map(|second| is_struck(&faults, &secret("one"), start + second * SECOND));
    assert_eq!(struck, [false, false, true, true, false, false]);
}

#[test]
fn only_the_first_requests_that_a_rule_decides_count_as_its_times() {
    let now = Instant::now();
    let faults = of(
        vec![
            Rule::new(Target::AllVaults, Fault::Status(500)).times(2),
            Rule::new(Target::AllVaults, Fault::Status(503)).times(1),
        ],
        now,
    );
    let answers = [(); 4].map(|()| faults.effect(&secret("one"), now).fault);
    let status = |status| Some(Fault::Status(status));
    assert_eq!(answers, [status(503), status(500), status(500), None]);
}

#[test]
fn a_limit_takes_so_many_in_each_window_and_the_refused_do_not_count() {
    let start = Instant::now();
    let limit = Fault::Limit { requests: 2, per: 10 * SECOND, retry_after: Some(SECOND) };
    let faults = of(vec![Rule::new(Target::AllVaults, limit)], start);
    let at = |vault, second| is_struck(&faults, &secret(vault), start + second * SECOND);
    assert_eq!([at("one", 0), at("one", 1), at("one", 2), at("one", 9)], [false, false, true, true]);
    // Each vault has a window of its own, which begins with its first request.
    assert_eq!([at("two", 9), at("two", 18), at("two", 18)], [false, false, true]);
    assert_eq!([at("one", 10), at("one", 11), at("one", 12)], [false, false, true]);
    let refused = faults.effect(&secret("one"), start + 12 * SECOND).fault;
    assert_eq!(refused, Some(Fault::Throttle { retry_after: Some(SECOND) }));
}

#[test]
fn a_host_is_spoiled_by_the_faults_of_whom_it_serves() {
    let now = Instant::now();
    let bad = BadCertificate::Expired;
    let faults = of(
        vec![
            Rule::new(Target::Entra, Fault::Certificate(bad)),
            Rule::new(Target::Vault("one".to_owned()), Fault::Refuse).times(1),
            Rule::new(Target::AllVaults, Fault::Hang),
        ],
        now,
    );
    let refused = |host| faults.refuses(&Service::at(host), now);
    let certificate = |host| faults.certificate(&Service::at(host), now);
    assert_eq!(certificate("login.microsoftonline.com"), Some(bad));
    assert_eq!(certificate("adfs.stack.test"), Some(bad));
    assert_eq!(certificate("kubernetes.test"), None);
    assert_eq!(certificate("one.vault.azure.net"), None);
    assert!(!refused("login.microsoftonline.com"));
    assert!(!refused("two.vault.azure.net"));
    assert!(refused("one.vault.azure.net"));
    assert!(!refused("one.vault.azure.net"), "it was to be refused once");
    // Everything is served at a loopback address.
    assert_eq!(certificate("127.0.0.1"), Some(bad));
}

#[test]
fn clocks_and_revocations_last_as_long_as_their_rules() {
    let start = Instant::now();
    let skew = |seconds| Rule::new(Target::Entra, Fault::ClockSkew { seconds });
    let revoked = Rule::new(Target::AllVaults, Fault::Revoked).after(SECOND);
    let faults = of(vec![skew(60), skew(-600).lasting(SECOND), revoked], start);
    assert_eq!(faults.clock_skew(Service::Entra, start), time::Duration::minutes(-10));
    assert_eq!(faults.clock_skew(Service::Entra, start + SECOND), time::Duration::MINUTE);
    assert_eq!(faults.clock_skew(Service::Vault("one"), start), time::Duration::ZERO);
    assert_eq!(faults.revoked(Service::Vault("one"), start), None);
    assert_eq!(faults.revoked(Service::Vault("one"), start + 3 * SECOND), Some(start + SECOND));
    // Neither is an answer.
    assert!(!is_struck(&faults, &secret("one"), start + SECOND));
}
