//! Mounting, in rounds.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::Result;
use crate::azure::Azure;
use crate::options::Options;
use crate::pods::Pod;
use crate::progress::Progress;
use crate::server::{Client, Server};

/// Maximum number of failures in a report.
const FAILURES: usize = 5;

/// Results of all rounds.
#[derive(Default)]
pub(crate) struct Driven {
    /// Total duration of the rounds.
    pub(crate) wall: Duration,
    /// Of mounts that succeeded, each pod's first.
    pub(crate) first: Vec<Duration>,
    /// Of mounts that succeeded, the repeated ones.
    pub(crate) repeated: Vec<Duration>,
    pub(crate) failed: usize,
    /// The first of them.
    pub(crate) failures: Vec<Failure>,
}

#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) message: String,
}

pub(crate) async fn all_rounds(
    options: &Options,
    azure: &Azure,
    server: &Server,
    mut pods: Vec<Pod>,
) -> Result<Driven> {
    let (client, starts) = (server.client(), options.starts());
    let mut progress = Progress::new(server.name(), options.pods.into(), options.rounds.saturating_add(1));
    let mut driven = Driven::default();
    for round in 0..=options.rounds {
        progress.round();
        let (took, outcomes) = one_round(&client, &starts, azure, &mut progress, pods).await?;
        driven.wall += took;
        pods = Vec::with_capacity(outcomes.len());
        for (pod, outcome) in outcomes {
            match outcome {
                Ok(time) if round == 0 => driven.first.push(time),
                Ok(time) => driven.repeated.push(time),
                Err(failure) => {
                    driven.failed += 1;
                    if driven.failures.len() < FAILURES {
                        driven.failures.push(failure);
                    }
                }
            }
            pods.push(pod);
        }
    }
    Ok(driven)
}

type Outcome = std::result::Result<Duration, Failure>;

async fn one_round(
    client: &Client,
    starts: &[Duration],
    azure: &Azure,
    progress: &mut Progress,
    pods: Vec<Pod>,
) -> Result<(Duration, Vec<(Pod, Outcome)>)> {
    let mut ready = Vec::with_capacity(pods.len());
    for mut pod in pods {
        let request = pod.request(azure)?;
        ready.push((pod, request));
    }
    let begun = Instant::now();
    let mut mounts = JoinSet::new();
    for ((mut pod, request), start) in ready.into_iter().zip(starts) {
        let (mut client, start) = (client.clone(), begun + *start);
        mounts.spawn(async move {
            sleep_until(start).await;
            // Time counts from when the pod was to start: a mount that this program or its connection held up
            // was held up.
            let answer = client.mount(request).await;
            let time = start.elapsed();
            let outcome = match answer.map(tonic::Response::into_inner) {
                Ok(response) => pod.mounted(response).map(|()| time).map_err(Failure::wrong),
                Err(status) => Err(Failure::refused(&status)),
            };
            (pod, outcome)
        });
    }
    let mut outcomes = Vec::with_capacity(mounts.len());
    while let Some(done) = mounts.join_next().await {
        let (pod, outcome) = done?;
        progress.one(outcome.is_ok());
        outcomes.push((pod, outcome));
    }
    Ok((begun.elapsed(), outcomes))
}

impl Failure {
    fn refused(status: &tonic::Status) -> Self {
        Self { code: format!("{:?}", status.code()), message: status.message().to_owned() }
    }

    /// An invalid answer.
    fn wrong(message: String) -> Self {
        Self { code: "Ok".to_owned(), message }
    }
}
