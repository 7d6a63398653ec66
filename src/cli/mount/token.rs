//! The service account token of a mount, from a file.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use zeroize::Zeroize;

use super::message::Message;
use crate::plan::{Claims, ServiceAccountToken};
use crate::secret::SecretText;

/// A service account token, and where it is from.
pub(super) struct Token {
    jwt: ServiceAccountToken,
    audience: &'static str,
    /// The pod that it is bound to, if it says one.
    pub(super) pod: Option<String>,
    /// The client id of the application that it stands for, if class or environment say it.
    pub(super) client: Option<String>,
    pub(super) source: String,
}

/// What kubelet writes into a token of a pod, besides the claims of RFC 7519.
#[derive(Deserialize)]
struct Bound {
    #[serde(rename = "kubernetes.io")]
    kubernetes: Option<BoundTo>,
}

#[derive(Deserialize)]
struct BoundTo {
    pod: Option<BoundPod>,
}

#[derive(Deserialize)]
struct BoundPod {
    name: String,
}

impl Token {
    pub(super) fn read(
        file: &Path,
        audience: &'static str,
        source: String,
        client: Option<String>,
    ) -> Result<Self, Message> {
        let create = format!(
            "the file must have a service account token: kubectl create token SERVICE_ACCOUNT --audience {audience} > {}",
            file.display()
        );
        let wrong = |problem: String| Message::error(source.clone(), problem).help(create.clone());
        let bytes = std::fs::read(file).map_err(|error| wrong(format!("it cannot be read: {error}")))?;
        let mut text =
            crate::text::decode(bytes).map_err(|error| wrong(format!("it cannot be read: {error}")))?;
        let raw = text.trim().to_owned();
        text.zeroize();
        let jwt = ServiceAccountToken::parse(raw, audience).map_err(|fault| wrong(fault.problem))?;
        let bound = jsonwebtoken::dangerous::insecure_decode_claims::<Bound>(jwt.expose()).ok();
        let pod = bound.and_then(|bound| bound.kubernetes).and_then(|bound| bound.pod).map(|pod| pod.name);
        Ok(Self { jwt, audience, pod, client, source })
    }

    /// As the API server gives tokens to kubelet: by audience.
    pub(super) fn tokens(&self) -> SecretText {
        by_audience(&[self.audience], self.jwt.expose())
    }

    /// What it says of itself.
    pub(super) fn claims(&self) -> &Claims {
        self.jwt.claims()
    }

    /// The file that it is from.
    pub(super) fn file(&self) -> &str {
        self.source.split_once('=').map_or("", |(_, file)| file)
    }

    /// Namespace and service account, if the subject is one.
    pub(super) fn account(&self) -> Option<(&str, &str)> {
        self.jwt.claims().subject.strip_prefix("system:serviceaccount:")?.split_once(':')
    }
}

/// A token as the API server gives it to kubelet, for these audiences.
pub(super) fn by_audience(audiences: &[&str], token: &str) -> SecretText {
    let entry = |audience: &&str| ((*audience).to_owned(), BTreeMap::from([("token", token)]));
    let entries = audiences.iter().map(entry).collect::<BTreeMap<_, _>>();
    // A map of strings is always JSON.
    SecretText::new(serde_json::to_string(&entries).unwrap_or_default())
}
