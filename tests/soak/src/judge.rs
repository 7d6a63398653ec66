//! Whether a mount may have ended as it did.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use keyvault_csi_provider::proto::ObjectVersion;
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::azure::{IDENTITIES, Location, STRANGER, TOGGLED};
use crate::findings::lock;
use crate::logs::{Said, leak};
use crate::objects::{Asked, FIXED_VERSION, HISTORY, REPLICA, read, vault, version_id};
use crate::pods::Class;
use crate::run::Run;

pub(crate) const ROTATION_MAX_AGE: Duration = Duration::from_secs(15);
pub(crate) const STALE_IF_ERROR: Duration = Duration::from_secs(30);
/// A mount may join a request that others made before it came. What the vault has answered by then is on its
/// way no longer than this, on the slowest machine.
const ON_ITS_WAY: Duration = Duration::from_secs(5);
/// A history is fetched in several requests: the first may be as old as the longest mount.
const LONGEST_FETCH: Duration = Duration::from_mins(1);

/// Path and contents.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// What the provider may know of a volume when it is asked to mount it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing: it is the first mount.
    Nothing,
    /// Whatever became of a mount that was lost.
    Perhaps,
    /// That it is mounted.
    Mounted,
}

/// A mount that has ended.
pub(crate) struct Mount<'a> {
    pub(crate) class: &'a Class,
    pub(crate) known: Known,
    pub(crate) begin: Instant,
    pub(crate) end: Instant,
    pub(crate) said: Said,
}

/// The last mount of an identity that was told that it may not read a secret: its begin and its end.
#[derive(Default)]
pub(crate) struct Denials(Mutex<HashMap<(usize, Location), Span>>);

type Span = (Instant, Instant);

impl Mount<'_> {
    /// Whether the files and their versions may be these.
    pub(crate) fn mounted(&self, run: &Run, files: &Files, versions: &[ObjectVersion]) -> Result<(), String> {
        let mut expected = self.files(run, files)?;
        if expected.is_empty() {
            expected.push(("nothing".to_owned(), String::new()));
        }
        let said = versions.iter().map(|version| (version.id.clone(), version.version.clone()));
        let said = said.collect::<Vec<_>>();
        if said == expected {
            Ok(())
        } else {
            Err(format!("its object versions are {said:?}, not {expected:?}"))
        }
    }

    /// Whether the files may be these; the versions that they then have.
    pub(crate) fn files(&self, run: &Run, files: &Files) -> Result<Vec<(String, String)>, String> {
        let elsewhere = self.said.stale || self.said.failover;
        if elsewhere && !run.storms.struck(self.begin, self.end) {
            return Err(format!("it is served from {:?} while there is no fault", self.said));
        }
        let mut left = files.iter().map(|(path, text)| (path.as_str(), text.as_slice())).collect();
        let mut versions = Vec::new();
        for asked in &self.class.objects {
            let wrong = |what| format!("{}: {what}", asked.path());
            versions.extend(self.object(run, *asked, &mut left).map_err(wrong)?);
        }
        match left.keys().next() {
            None => Ok(versions),
            Some(stray) => Err(format!("{stray} is not in the class")),
        }
    }

    fn object(
        &self,
        run: &Run,
        asked: Asked,
        files: &mut BTreeMap<&str, &[u8]>,
    ) -> Result<Vec<(String, String)>, String> {
        let (path, id) = (asked.path(), format!("{}/{}", asked.kind(), asked.name()));
        match asked {
            Asked::Fixed(fixed) => {
                let text = files.remove(path.as_str()).ok_or("it is missing")?;
                if text != fixed.text.as_bytes() {
                    return Err("it belongs to another identity".to_owned());
                }
                self.check_access(run, asked, self.begin)?;
                Ok(vec![(id, FIXED_VERSION.to_owned())])
            }
            Asked::Secret { vault, secret } if asked.has_history() => {
                let texts = (0..).map_while(|index| files.remove(format!("{path}/{index}").as_str()));
                let texts = texts.collect::<Vec<_>>();
                let versions = self.secret(run, asked, (vault, secret), &texts)?.into_iter().enumerate();
                Ok(versions.map(|(index, version)| (format!("{id}/{index}"), version)).collect())
            }
            Asked::Secret { vault, secret } => {
                let text = files.remove(path.as_str());
                let versions = self.secret(run, asked, (vault, secret), text.as_slice())?.into_iter();
                Ok(versions.map(|version| (id.clone(), version)).collect())
            }
        }
    }

    /// The ids of the versions of a secret whose values these are, the newest first.
    fn secret(
        &self,
        run: &Run,
        asked: Asked,
        location: Location,
        texts: &[&[u8]],
    ) -> Result<Vec<String>, String> {
        let tolerance = if asked.has_history() { LONGEST_FETCH } else { ON_ITS_WAY };
        let since = before(
            self.begin,
            tolerance + if self.known == Known::Nothing { Duration::ZERO } else { ROTATION_MAX_AGE },
        );
        let since = if self.said.stale {
            let stale = before(self.begin, tolerance + STALE_IF_ERROR).min(since);
            // A no of the vault ends what was kept before it.
            let denied = run.denials.last((self.class.identity, location), self.begin);
            let same = |denied: &Instant| !run.restarts.changed(*denied, self.end);
            stale.max(denied.filter(same).map_or(stale, |denied| before(denied, ON_ITS_WAY)))
        } else {
            since
        };
        self.check_access(run, asked, since)?;
        let current =
            |state| run.azure.secret(location, |line| line.ever(since, self.end, |then| then == state));
        let values = texts.iter().map(|text| read(text, asked.name()));
        let values = values.collect::<Option<Vec<_>>>().ok_or("it is not a value of its own")?;
        let Some((of, newest)) = values.first().copied() else {
            let may_be_missing = asked.is_optional() && current(None) == Some(true);
            return if may_be_missing { Ok(Vec::new()) } else { Err("it is missing".to_owned()) };
        };
        let count = if asked.has_history() { newest.min(HISTORY) } else { 1 };
        let expected = (0..count).map(|back| (of, newest - back));
        if !values.iter().copied().eq(expected) {
            return Err(format!("its versions are not a history: {values:?}"));
        }
        let of_replica = of == REPLICA && location.0 == 0;
        if of_replica && !(self.said.failover && self.known != Known::Mounted && newest == 1) {
            return Err("it is from the replica".to_owned());
        }
        if !of_replica && of != vault(location.0) {
            return Err(format!("it is from vault {of}"));
        }
        if !of_replica && current(Some(newest)) != Some(true) {
            let now = run.azure.secret(location, crate::timeline::Timeline::now);
            return Err(format!(
                "it is version {newest}, too old or too new (now it is {now:?}; {:?}, {:?}, {:?})",
                self.known,
                self.said,
                self.end - self.begin
            ));
        }
        Ok(values.iter().map(|(_, version)| version_id(*version)).collect())
    }

    fn check_access(&self, run: &Run, asked: Asked, since: Instant) -> Result<(), String> {
        let identity = self.class.identity;
        let granted = if (identity, asked.vault()) == TOGGLED {
            run.azure.access(|line| line.ever(since, self.end, |granted| granted))
        } else {
            self.class.who().reads.contains(&asked.vault())
        };
        if granted { Ok(()) } else { Err(format!("{} may not read it", self.class.who().name)) }
    }

    /// Whether the mount may have been refused so.
    pub(crate) fn refused(&self, run: &Run, status: &Status) -> Result<(), String> {
        let (begin, end) = (self.begin, self.end);
        if let Some(what) = leak(status.message()) {
            return Err(format!("its error contains {what}"));
        }
        let vaults = || self.class.objects.iter().map(|asked| asked.vault());
        let may_be = match status.code() {
            Code::Internal => run.storms.struck(begin, end) || run.restarts.changed(begin, end),
            Code::Unauthenticated => {
                self.class.identity == STRANGER || run.storms.refused(begin, end, |by| by.entra)
            }
            Code::PermissionDenied => {
                let since = before(begin, LONGEST_FETCH);
                let toggled = || run.azure.access(|line| line.ever(since, end, |granted| !granted));
                let denied = |vault| match (self.class.identity, vault) {
                    TOGGLED => toggled(),
                    _ => !self.class.who().reads.contains(&vault),
                };
                vaults().any(denied) || run.storms.refused(begin, end, |by| by.vaults)
            }
            _ => false,
        };
        if !may_be {
            return Err(format!("the mount is refused with {:?}: {}", status.code(), status.message()));
        }
        run.denials.note(self, status.message());
        Ok(())
    }
}

impl Denials {
    fn note(&self, mount: &Mount<'_>, message: &str) {
        for asked in &mount.class.objects {
            let Asked::Secret { vault: of, secret } = *asked else { continue };
            let words =
                format!("secret {} of {}.vault.azure.net: the identity has no role", asked.name(), vault(of));
            if message.contains(&words) {
                lock(&self.0).insert((mount.class.identity, (of, secret)), (mount.begin, mount.end));
            }
        }
    }

    /// When the last mount that was denied the secret had begun, if it had ended before `begin`.
    fn last(&self, key: (usize, Location), begin: Instant) -> Option<Instant> {
        let last = lock(&self.0).get(&key).copied();
        last.filter(|(_, ended)| *ended < begin).map(|(began, _)| began)
    }
}

/// What a class gets when nothing is wrong: whether it mounts, or else the code.
pub(crate) fn in_calm(class: &Class) -> Result<(), Code> {
    let who = IDENTITIES.get(class.identity).map_or(&[][..], |who| who.reads);
    if class.identity == STRANGER {
        Err(Code::Unauthenticated)
    } else if class.objects.iter().all(|asked| who.contains(&asked.vault())) {
        Ok(())
    } else {
        Err(Code::PermissionDenied)
    }
}

fn before(instant: Instant, duration: Duration) -> Instant {
    instant.checked_sub(duration).unwrap_or(instant)
}
