//! Random faults.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use fastrand::Rng;
use keyvault_emulator::{BadCertificate, Emulator, Fault, RequestKind, Rule, Target};
use tokio::time::{Instant, sleep};

use crate::Result;
use crate::findings::lock;
use crate::objects::{REPLICA, VAULTS};
use crate::run::Run;

/// For so long after a fault the provider may leave alone whom it struck, and some more for who waits then.
pub(crate) const RECOVERY: Duration = Duration::from_secs(45);

/// The injected faults, with their targets and times.
#[derive(Default)]
pub(crate) struct Storms {
    past: Mutex<Vec<Storm>>,
    /// Rules, by their fault.
    injected: Mutex<BTreeMap<String, usize>>,
}

struct Storm {
    from: Instant,
    until: Option<Instant>,
    /// The service that refuses valid tokens, if there is one.
    refusing: Refusing,
}

/// The service that refuses valid tokens.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusing {
    pub(crate) entra: bool,
    pub(crate) vaults: bool,
}

impl Storms {
    /// Whether there was a storm so shortly before these times, or between them, that a mount may feel it.
    pub(crate) fn struck(&self, begin: Instant, end: Instant) -> bool {
        self.any(begin, end, |_| true)
    }

    /// Whether a mount between these times may have been refused for no fault of its own.
    pub(crate) fn refused(&self, begin: Instant, end: Instant, by: impl Fn(Refusing) -> bool) -> bool {
        self.any(begin, end, |storm| by(storm.refusing))
    }

    fn any(&self, begin: Instant, end: Instant, such: impl Fn(&Storm) -> bool) -> bool {
        let felt =
            |storm: &&Storm| storm.from <= end && storm.until.is_none_or(|until| until + RECOVERY >= begin);
        lock(&self.past).iter().filter(felt).any(such)
    }

    /// Revokes all access tokens issued so far.
    pub(crate) fn revoke(&self, emulator: &Emulator) {
        let from = Instant::now();
        emulator.revoke_access_tokens();
        self.note("all tokens revoked");
        let refusing = Refusing { vaults: true, entra: false };
        lock(&self.past).push(Storm { from, until: Some(Instant::now()), refusing });
    }

    fn note(&self, what: &str) {
        *lock(&self.injected).entry(what.to_owned()).or_default() += 1;
    }

    /// Number of rules by fault.
    pub(crate) fn injected(&self) -> BTreeMap<String, usize> {
        lock(&self.injected).clone()
    }

    fn begin(&self, emulator: &Emulator, rules: Vec<(Rule, &'static str, Refusing)>) -> Result<()> {
        let mut refusing = Refusing::default();
        for (_, name, by) in &rules {
            self.note(name);
            refusing.entra |= by.entra;
            refusing.vaults |= by.vaults;
        }
        let mut past = lock(&self.past);
        past.retain(|storm| storm.until.is_none_or(|until| until.elapsed() < 10 * RECOVERY));
        past.push(Storm { from: Instant::now(), until: None, refusing });
        for (rule, _, _) in rules {
            emulator.inject_rule(rule)?;
        }
        Ok(())
    }

    fn end(&self, emulator: &Emulator) {
        emulator.heal();
        if let Some(last) = lock(&self.past).iter_mut().rev().find(|storm| storm.until.is_none()) {
            last.until = Some(Instant::now());
        }
    }
}

/// Injects faults, with pauses between them, until the end of the run.
pub(crate) async fn rage(run: &Run, mut rng: Rng) -> Result<()> {
    while run.goes_on() {
        sleep(Duration::from_millis(rng.u64(100..2000))).await;
        let at_once = rng.usize(1..4);
        let rules = std::iter::repeat_with(|| rule(&mut rng)).take(at_once).collect();
        run.storms.begin(&run.azure.emulator, rules)?;
        let lasting = Instant::now() + Duration::from_millis(rng.u64(300..5000));
        while run.goes_on() && Instant::now() < lasting {
            sleep(Duration::from_millis(50)).await;
        }
        run.storms.end(&run.azure.emulator);
    }
    Ok(())
}

fn rule(rng: &mut Rng) -> (Rule, &'static str, Refusing) {
    let target = match rng.u32(..10) {
        0 | 1 => Target::Entra,
        2 => Target::Imds,
        3 => Target::AllVaults,
        4 => Target::Vault(REPLICA.to_owned()),
        _ => Target::Vault(VAULTS.get(rng.usize(..VAULTS.len())).copied().unwrap_or_default().to_owned()),
    };
    let (fault, name) = fault(rng, &target);
    let mut refusing = Refusing::default();
    if matches!(fault, Fault::ClockSkew { .. } | Fault::Revoked) {
        refusing = Refusing { entra: target == Target::Entra, vaults: target != Target::Entra };
    }
    let whole = matches!(fault, Fault::ClockSkew { .. } | Fault::Revoked | Fault::Limit { .. });
    let before_requests = matches!(fault, Fault::Refuse | Fault::Certificate(_));
    let of_vaults = !matches!(target, Target::Entra | Target::Imds);
    let mut rule = Rule::new(target, fault);
    if !whole && rng.u32(..3) == 0 {
        rule = rule.times(rng.u32(1..20));
    }
    if !whole && !before_requests && of_vaults && rng.u32(..4) == 0 {
        rule = rule.kind(RequestKind::Secret);
    }
    (rule, name, refusing)
}

fn fault(rng: &mut Rng, target: &Target) -> (Fault, &'static str) {
    let retry_after = rng.bool().then(|| Duration::from_secs(rng.u64(1..3)));
    let choice = match target {
        Target::Imds => 15,
        Target::Entra => 17,
        Target::Vault(_) | Target::AllVaults => 18,
        Target::Issuer | Target::ApiServer => 0,
    };
    match rng.u32(..choice) {
        0 => (Fault::Status(500), "status 500"),
        1 => (Fault::Status(503), "status 503"),
        2 => (Fault::Gateway(502), "gateway 502"),
        3 => (Fault::Garbage, "garbage"),
        4 => (Fault::Hang, "hang"),
        5 => (Fault::HangInBody, "hang in body"),
        6 => (Fault::Truncate, "truncate"),
        7 => (Fault::WrongLength, "wrong length"),
        8 => (Fault::Disconnect, "disconnect"),
        9 => (Fault::Reset, "reset"),
        10 => (Fault::Refuse, "refuse"),
        11 | 12 => (Fault::Latency(Duration::from_millis(rng.u64(50..1500))), "latency"),
        13 if retry_after.is_some() => (Fault::Throttle { retry_after }, "throttle, retry-after"),
        13 => (Fault::Throttle { retry_after }, "throttle"),
        14 => {
            let (requests, per) = (rng.u32(5..50), Duration::from_secs(1));
            (Fault::Limit { requests, per, retry_after }, "limit")
        }
        15 => {
            let bad = [
                BadCertificate::Expired,
                BadCertificate::SelfSigned,
                BadCertificate::OtherAuthority,
                BadCertificate::WrongName,
            ];
            let bad = bad.get(rng.usize(..bad.len())).copied().unwrap_or(BadCertificate::Expired);
            (Fault::Certificate(bad), "bad certificate")
        }
        16 => (Fault::ClockSkew { seconds: if rng.bool() { 7200 } else { -7200 } }, "clock skew"),
        _ => (Fault::Revoked, "revoked"),
    }
}
