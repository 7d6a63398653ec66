//! Checks a seed: all findings at once, each with its location.

use std::collections::HashSet;

use super::{Certificate, Identity, Key, ManagedIdentity, Secret, Seed, SeedError, Vault};
use crate::public_key::PublicKey;
use crate::vault::names;
use crate::x509::X509;

impl Seed {
    pub(crate) fn check(&self) -> Result<(), SeedError> {
        let mut findings = Vec::new();
        if self.tenant.is_empty() || self.tenant.contains('/') {
            findings.push(format!("tenant: {:?} cannot be part of a URL path", self.tenant));
        }
        let mut names = Unique::default();
        let mut client_ids = Unique::default();
        for (index, identity) in self.identities.iter().enumerate() {
            let place = format!("identities[{index}]");
            names.check(&identity.name, || format!("{place}.name"), &mut findings);
            client_ids.check(&identity.client_id, || format!("{place}.clientId"), &mut findings);
            check_certificates(identity, &place, &mut findings);
        }
        let is_system = |identity: &&Identity| identity.managed_identity == Some(ManagedIdentity::System);
        if self.identities.iter().filter(is_system).count() > 1 {
            findings.push(
                "identities: only one identity can be the system-assigned identity of the machine".to_owned(),
            );
        }
        let mut vaults = Unique::default();
        for (index, vault) in self.vaults.iter().enumerate() {
            let place = format!("vaults[{index}]");
            vaults.check(&vault.name, || format!("{place}.name"), &mut findings);
            self.check_vault(vault, &place, &mut findings);
        }
        let mut accounts = Unique::default();
        for (index, account) in self.service_accounts.iter().enumerate() {
            let name = format!("{}/{}", account.namespace, account.name);
            accounts.check(&name, || format!("serviceAccounts[{index}]"), &mut findings);
        }
        if findings.is_empty() { Ok(()) } else { Err(SeedError::Invalid(findings)) }
    }

    fn check_vault(&self, vault: &Vault, place: &str, findings: &mut Vec<String>) {
        if !names::is_vault(&vault.name) {
            findings.push(format!(
                "{place}.name: {:?} is not a vault name; use 3 to 24 letters, digits and hyphens",
                vault.name
            ));
        }
        for (index, access) in vault.access.iter().enumerate() {
            if !self.identities.iter().any(|identity| identity.name == access.identity) {
                findings.push(format!(
                    "{place}.access[{index}].identity: identity {:?} does not exist",
                    access.identity
                ));
            }
        }
        let (mut secrets, mut keys) = (Unique::default(), Unique::default());
        for (index, secret) in vault.secrets.iter().enumerate() {
            let place = format!("{place}.secrets[{index}]");
            secrets.check(&secret.name, || format!("{place}.name"), findings);
            check_secret(secret, &place, findings);
        }
        for (index, key) in vault.keys.iter().enumerate() {
            let place = format!("{place}.keys[{index}]");
            keys.check(&key.name, || format!("{place}.name"), findings);
            check_key(key, &place, findings);
        }
        for (index, certificate) in vault.certificates.iter().enumerate() {
            let place = format!("{place}.certificates[{index}]");
            // Two certificates of one name would make two secrets of one name: that says it once.
            secrets.check(&certificate.name, || format!("{place}.name"), findings);
            let key = certificate.name.to_ascii_lowercase();
            if keys.0.contains(&key) {
                findings.push(format!("{place}.name: a key has the name {:?}, too", certificate.name));
            }
            check_certificate(certificate, &place, findings);
        }
    }
}

fn check_certificates(identity: &Identity, place: &str, findings: &mut Vec<String>) {
    for (index, pem) in identity.certificates.iter().enumerate() {
        let place = format!("{place}.certificates[{index}]");
        match X509::from_pem(pem) {
            Ok(X509 { public_key: PublicKey::Rsa { .. }, .. }) => {}
            Ok(_) => findings.push(format!("{place}: not an RSA certificate; Entra accepts only RSA")),
            Err(error) => findings.push(format!("{place}: {error}")),
        }
    }
}

fn check_secret(secret: &Secret, place: &str, findings: &mut Vec<String>) {
    check_name(&secret.name, place, findings);
    match (&secret.value, secret.versions.is_empty()) {
        (None, true) => findings.push(format!("{place}: set value or versions")),
        (Some(_), false) => {
            findings.push(format!("{place}: set value or versions, not both"));
        }
        _ => {}
    }
    check_versions(secret.versions.iter().map(|version| version.version.as_deref()), place, findings);
}

fn check_key(key: &Key, place: &str, findings: &mut Vec<String>) {
    check_name(&key.name, place, findings);
    if key.public_key.is_some() && !key.versions.is_empty() {
        findings.push(format!("{place}: set publicKey or versions, not both"));
    }
    if key.kty.is_rsa() && key.crv.is_some() {
        findings.push(format!("{place}.crv: an RSA key has no curve"));
    }
    for version in key.history() {
        if let Some(Err(error)) = version.public_key.as_deref().map(|pem| key.read(pem)) {
            findings.push(format!("{place}.publicKey: {error}"));
        }
    }
    check_versions(key.versions.iter().map(|version| version.version.as_deref()), place, findings);
}

fn check_certificate(certificate: &Certificate, place: &str, findings: &mut Vec<String>) {
    check_name(&certificate.name, place, findings);
    let given = [&certificate.pfx, &certificate.pem, &certificate.cer];
    if given.into_iter().any(Option::is_some) && !certificate.versions.is_empty() {
        findings.push(format!("{place}: set only one of pfx, pem and versions"));
    }
    for version in certificate.history() {
        if let Err(error) = certificate.material(&version) {
            findings.push(format!("{place}: {error}"));
        }
    }
    check_versions(certificate.versions.iter().map(|version| version.version.as_deref()), place, findings);
}

fn check_name(name: &str, place: &str, findings: &mut Vec<String>) {
    if !names::is_object(name) {
        findings.push(format!(
            "{place}.name: {name:?} is not an object name; use 1 to 127 letters, digits and hyphens"
        ));
    }
}

fn check_versions<'a>(ids: impl Iterator<Item = Option<&'a str>>, place: &str, findings: &mut Vec<String>) {
    let mut versions = Unique::default();
    for (index, id) in ids.enumerate() {
        let Some(id) = id else { continue };
        let place = || format!("{place}.versions[{index}].version");
        if !names::is_version(id) {
            findings.push(format!("{}: {id:?} is not 32 hexadecimal digits", place()));
        }
        versions.check(id, place, findings);
    }
}

/// Names seen so far, in lower case.
#[derive(Default)]
struct Unique(HashSet<String>);

impl Unique {
    fn check(&mut self, name: &str, place: impl Fn() -> String, findings: &mut Vec<String>) {
        if !self.0.insert(name.to_ascii_lowercase()) {
            findings.push(format!("{}: duplicate name {name:?}", place()));
        }
    }
}

#[cfg(test)]
mod tests;
