//! Pods: created, mounted, refreshed, and deleted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;
use keyvault_csi_provider::deliver::FileWriter;
use keyvault_csi_provider::proto::{MountRequest, MountResponse, ObjectVersion};
use provider_launcher::Pod as PodInfo;
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};

use crate::Result;
use crate::azure::{Azure, IDENTITIES, NAMESPACE, STRANGER, Who};
use crate::judge::{Files, Known, Mount, in_calm};
use crate::logs::Said;
use crate::objects::{Asked, FIXED, FIXED_VAULT, SECRETS, VAULTS};
use crate::run::Run;

/// kubelet's timeout for a volume.
const TIMEOUT: Duration = Duration::from_mins(2);
/// A shorter timeout of another caller.
const HASTE: Duration = Duration::from_secs(20);
/// Time for the provider to recover after all faults.
const RECOVERED: Duration = Duration::from_mins(2);

/// A pod's `SecretProviderClass`.
#[derive(Debug, Clone)]
pub(crate) struct Class {
    pub(crate) identity: usize,
    pub(crate) objects: Vec<Asked>,
}

/// How a mount ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Mounted(Said),
    Refused(Code),
    /// The process was killed, or the result was wrong.
    Lost,
}

struct Pod {
    info: PodInfo,
    class: Class,
    parameters: BTreeMap<String, String>,
    tokens: String,
    target: PathBuf,
    known: Known,
    /// The object versions of the last mount, which the driver sends back.
    versions: Vec<ObjectVersion>,
    /// The files in its volume.
    held: Files,
}

impl Class {
    fn random(rng: &mut Rng) -> Self {
        let identity = if rng.u32(..20) == 0 { STRANGER } else { rng.usize(..STRANGER) };
        let reads = IDENTITIES.get(identity).map_or(&[][..], |who| who.reads);
        let mut objects: Vec<Asked> = Vec::new();
        for _ in 0..rng.usize(1..6) {
            let anywhere = rng.usize(..VAULTS.len());
            let own = reads.get(rng.usize(..reads.len().max(1))).copied();
            let vault = if rng.u32(..20) == 0 { anywhere } else { own.unwrap_or(anywhere) };
            let asked = match FIXED.get(rng.usize(..3 * FIXED.len())) {
                Some(fixed) if vault == FIXED_VAULT => Asked::Fixed(fixed),
                _ => Asked::Secret { vault, secret: rng.usize(..SECRETS.len()) },
            };
            if objects.iter().all(|other| other.path() != asked.path()) {
                objects.push(asked);
            }
        }
        Self { identity, objects }
    }

    pub(crate) fn who(&self) -> &'static Who {
        IDENTITIES.get(self.identity).unwrap_or(&IDENTITIES[STRANGER])
    }

    fn parameters(&self, azure: &Azure) -> BTreeMap<String, String> {
        let objects = self.objects.iter().map(|asked| asked.entry()).collect::<String>();
        let said = azure.parameters(self.who()).into_iter().chain([("objects", objects)]);
        said.map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// Runs one pod after another until the end of the run; then one that must succeed.
pub(crate) async fn live(run: &Run, slot: u32, mut rng: Rng) -> Result<()> {
    let mut number = 0;
    while run.goes_on() {
        number += 1;
        let mut pod = Pod::new(run, (slot, number), Class::random(&mut rng))?;
        for _ in 0..rng.u32(1..7) {
            let timeout = if rng.bool() { TIMEOUT } else { HASTE };
            pod.mount(run, timeout).await?;
            sleep(Duration::from_millis(rng.u64(20..800))).await;
            if !run.goes_on() {
                break;
            }
        }
        pod.remove(run)?;
    }
    run.calmed().await;
    let begin = Instant::now();
    let class = Class::random(&mut rng);
    loop {
        number += 1;
        let mut pod = Pod::new(run, (slot, number), class.clone())?;
        let outcome = pod.mount(run, TIMEOUT).await?;
        let recovered = match in_calm(&class) {
            Ok(()) => outcome == Outcome::Mounted(Said::default()),
            Err(code) => outcome == Outcome::Refused(code),
        };
        let again = recovered && (in_calm(&class).is_err() || pod.mount(run, TIMEOUT).await? == outcome);
        pod.remove(run)?;
        if recovered && again {
            return Ok(());
        }
        if begin.elapsed() > RECOVERED {
            run.findings.add(format!("{class:?} has not recovered: {outcome:?}"));
            return Ok(());
        }
        sleep(Duration::from_millis(500)).await;
    }
}

impl Pod {
    fn new(run: &Run, (slot, number): (u32, u32), class: Class) -> Result<Self> {
        let who = class.who();
        let name = format!("pod-{slot}-{number}");
        let uid = format!("00000000-0000-4000-9000-{slot:04}{number:08}");
        let target = match &run.volumes {
            Some(folder) => {
                let target = folder.path().join(&name);
                std::fs::create_dir(&target)?;
                target
            }
            None => {
                PathBuf::from(format!("/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~csi/soak/mount"))
            }
        };
        let tokens = run.azure.emulator.token(NAMESPACE, who.name).pod(&name, &uid).attribute();
        let (namespace, service_account) = (NAMESPACE.to_owned(), who.name.to_owned());
        let info = PodInfo { name, uid, namespace, service_account, class: format!("class-{slot}") };
        let parameters = class.parameters(&run.azure);
        Ok(Self {
            info,
            class,
            parameters,
            tokens,
            target,
            known: Known::Nothing,
            versions: Vec::new(),
            held: Files::new(),
        })
    }

    fn remove(&self, run: &Run) -> Result<()> {
        if run.volumes.is_some() {
            std::fs::remove_dir_all(&self.target)?;
        }
        Ok(())
    }

    async fn mount(&mut self, run: &Run, timeout: Duration) -> Result<Outcome> {
        let Self { info, tokens, parameters, target, versions, .. } = self;
        let request = MountRequest {
            attributes: serde_json::to_string(&info.attributes(tokens, parameters))?,
            secrets: Azure::credentials(self.class.who()),
            target_path: target.display().to_string(),
            permission: "420".to_owned(),
            current_object_version: versions.clone(),
        };
        let (begin, known) = (Instant::now(), self.known);
        let answer = run.driver.clone().mount(&request, timeout).await;
        let end = Instant::now();
        let said = run.logs.said(&self.info.name, &run.findings)?;
        let class = self.class.clone();
        let mount = Mount { class: &class, known, begin, end, said };
        let (outcome, judged) = match answer {
            Ok(mounted) => {
                run.tally.asked_again(mounted.repeated);
                (Outcome::Mounted(said), self.mounted(run, &mount, mounted.response)?)
            }
            Err(status) => self.failed(run, &mount, &status)?,
        };
        run.tally.mount(match outcome {
            Outcome::Mounted(Said { failover: true, .. }) => "mounted, with the replica's",
            Outcome::Mounted(Said { stale: true, .. }) => "mounted, with stale values",
            Outcome::Mounted(_) => "mounted",
            Outcome::Refused(Code::Internal) => "INTERNAL",
            Outcome::Refused(Code::PermissionDenied) => "PERMISSION_DENIED",
            Outcome::Refused(Code::Unauthenticated) => "UNAUTHENTICATED",
            Outcome::Refused(_) => "another code",
            Outcome::Lost => "lost with a killed process",
        });
        if let Err(wrong) = judged {
            run.findings.add(format!("{} ({}): {wrong}", self.info.name, self.class.who().name));
            return Ok(Outcome::Lost);
        }
        Ok(outcome)
    }

    fn mounted(
        &mut self,
        run: &Run,
        mount: &Mount<'_>,
        response: MountResponse,
    ) -> Result<std::result::Result<(), String>> {
        self.known = Known::Mounted;
        self.held = match run.writer {
            FileWriter::Driver => response.files.into_iter().map(|file| (file.path, file.contents)).collect(),
            FileWriter::Provider => {
                if let Some(stray) = left_over(&self.target)? {
                    return Ok(Err(format!("{stray} is left over in its volume")));
                }
                read(&self.target)?
            }
        };
        self.versions = response.object_version;
        Ok(mount.mounted(run, &self.held, &self.versions))
    }

    /// A mount that fails changes nothing; one whose process was killed leaves the old files or the new ones.
    fn failed(
        &mut self,
        run: &Run,
        mount: &Mount<'_>,
        status: &Status,
    ) -> Result<(Outcome, std::result::Result<(), String>)> {
        let files = if run.volumes.is_some() { read(&self.target)? } else { self.held.clone() };
        let same = files == self.held;
        // What is not from the provider itself has a cause in this process.
        if std::error::Error::source(status).is_some() {
            if self.known == Known::Nothing {
                self.known = Known::Perhaps;
            }
            let judged = if !run.restarts.killed(mount.begin, mount.end) {
                Err(format!("its connection was lost, but no provider was killed: {status:?}"))
            } else if same {
                Ok(())
            } else {
                mount.files(run, &files).map(drop)
            };
            self.held = files;
            return Ok((Outcome::Lost, judged));
        }
        let judged = if same {
            mount.refused(run, status)
        } else {
            Err("the mount failed, but changed files".to_owned())
        };
        Ok((Outcome::Refused(status.code()), judged))
    }
}

/// All files of a volume, by their path.
fn read(volume: &Path) -> Result<Files> {
    let mut files = Files::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(volume.join(&folder))? {
            let name = entry?.file_name();
            if name.to_string_lossy().starts_with("..") {
                continue;
            }
            let path = folder.join(name);
            if std::fs::metadata(volume.join(&path))?.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.display().to_string(), std::fs::read(volume.join(&path))?);
            }
        }
    }
    Ok(files)
}

/// What a volume has besides its one generation of files, and the link to it.
fn left_over(volume: &Path) -> Result<Option<String>> {
    let current = std::fs::read_link(volume.join("..data")).ok();
    for entry in std::fs::read_dir(volume)? {
        let name = entry?.file_name();
        let own = name.to_string_lossy().starts_with("..");
        if own && name != "..data" && current.as_deref() != Some(Path::new(&name)) {
            return Ok(Some(name.display().to_string()));
        }
    }
    Ok(None)
}
