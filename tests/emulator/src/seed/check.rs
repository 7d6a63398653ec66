//! Whether a seed makes sense: every finding at once, each with its place.

use std::collections::HashSet;

use super::{Secret, Seed, SeedError, Vault};
use crate::vault::names;

impl Seed {
    pub(crate) fn check(&self) -> Result<(), SeedError> {
        let mut findings = Vec::new();
        if self.tenant.is_empty() || self.tenant.contains('/') {
            findings.push(format!("tenant: {:?} cannot stand in a path", self.tenant));
        }
        let mut names = Unique::default();
        let mut client_ids = Unique::default();
        for (index, identity) in self.identities.iter().enumerate() {
            let place = format!("identities[{index}]");
            names.check(&identity.name, || format!("{place}.name"), &mut findings);
            client_ids.check(&identity.client_id, || format!("{place}.clientId"), &mut findings);
        }
        let mut vaults = Unique::default();
        for (index, vault) in self.vaults.iter().enumerate() {
            let place = format!("vaults[{index}]");
            vaults.check(&vault.name, || format!("{place}.name"), &mut findings);
            self.check_vault(vault, &place, &mut findings);
        }
        if findings.is_empty() { Ok(()) } else { Err(SeedError::Invalid(findings)) }
    }

    fn check_vault(&self, vault: &Vault, place: &str, findings: &mut Vec<String>) {
        if !names::is_vault(&vault.name) {
            findings.push(format!(
                "{place}.name: {:?} is no vault name: 3 to 24 letters, digits and hyphens",
                vault.name
            ));
        }
        for (index, access) in vault.access.iter().enumerate() {
            if !self.identities.iter().any(|identity| identity.name == access.identity) {
                findings.push(format!(
                    "{place}.access[{index}].identity: no identity is called {:?}",
                    access.identity
                ));
            }
        }
        let mut secrets = Unique::default();
        for (index, secret) in vault.secrets.iter().enumerate() {
            let place = format!("{place}.secrets[{index}]");
            secrets.check(&secret.name, || format!("{place}.name"), findings);
            check_secret(secret, &place, findings);
        }
    }
}

fn check_secret(secret: &Secret, place: &str, findings: &mut Vec<String>) {
    if !names::is_object(&secret.name) {
        findings.push(format!(
            "{place}.name: {:?} is no object name: 1 to 127 letters, digits and hyphens",
            secret.name
        ));
    }
    match (&secret.value, secret.versions.is_empty()) {
        (None, true) => findings.push(format!("{place}: give it a value, or versions")),
        (Some(_), false) => {
            findings.push(format!("{place}: give it a value or versions, not both"));
        }
        _ => {}
    }
    let mut versions = Unique::default();
    for (index, version) in secret.versions.iter().enumerate() {
        let Some(id) = &version.version else { continue };
        let place = || format!("{place}.versions[{index}].version");
        if !names::is_version(id) {
            findings.push(format!("{}: {id:?} is not 32 hexadecimal digits", place()));
        }
        versions.check(id, place, findings);
    }
}

/// Names seen so far, without their case.
#[derive(Default)]
struct Unique(HashSet<String>);

impl Unique {
    fn check(&mut self, name: &str, place: impl Fn() -> String, findings: &mut Vec<String>) {
        if !self.0.insert(name.to_ascii_lowercase()) {
            findings.push(format!("{}: {name:?} is there twice", place()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(yaml: &str) -> String {
        Seed::from_yaml(yaml).unwrap_err().to_string()
    }

    #[test]
    fn a_seed_that_makes_no_sense_is_refused_with_every_finding_and_its_place() {
        let message = error(
            "
identities: [{name: app, clientId: '1'}, {name: app, clientId: '2'}]
vaults:
  - name: ok-vault
    access: [{identity: nobody, secrets: [get]}]
    secrets:
      - {name: under_score, value: x}
      - {name: both, value: x, versions: [{value: y}]}
      - {name: neither}
      - {name: short, versions: [{version: abc, value: y}]}
  - name: OK-Vault
  - name: v
",
        );
        for finding in [
            "identities[1].name: \"app\" is there twice",
            "vaults[0].access[0].identity: no identity is called \"nobody\"",
            "vaults[0].secrets[0].name: \"under_score\" is no object name",
            "vaults[0].secrets[1]: give it a value or versions, not both",
            "vaults[0].secrets[2]: give it a value, or versions",
            "vaults[0].secrets[3].versions[0].version: \"abc\" is not 32 hexadecimal digits",
            "vaults[1].name: \"OK-Vault\" is there twice",
            "vaults[2].name: \"v\" is no vault name",
        ] {
            assert!(message.contains(finding), "{finding:?} is missing from {message}");
        }
    }

    #[test]
    fn a_misspelt_field_is_refused_with_its_line() {
        let message = error("vaults:\n  - name: my-vault\n    secretz: []\n");
        assert!(message.contains("secretz"), "{message}");
        assert!(message.contains("line 3"), "{message}");
    }

    #[test]
    fn a_time_that_is_none_is_refused_with_its_line() {
        let message = error(
            "vaults:\n  - name: my-vault\n    secrets:\n      - name: a\n        versions:\n          - {value: x, created: yesterday}\n",
        );
        assert!(message.contains("line 6"), "{message}");
    }

    #[test]
    fn defaults_make_a_short_seed_whole() {
        let seed = Seed::from_yaml(
            "
identities: [{name: app, clientId: '1', federatedCredentials: [{subject: s}]}]
vaults:
  - name: my-vault
    secrets:
      - {name: digits, versions: [{version: 11111111111111111111111111111111, value: 0123, created: 2026-01-01T00:00:00Z}]}
",
        )
        .unwrap();
        assert_eq!(seed.tenant, "00000000-0000-4000-8000-000000000001");
        let credential = &seed.identities[0].federated_credentials[0];
        assert_eq!(credential.issuer, "https://oidc.emulator.test/");
        assert_eq!(credential.audience, "api://AzureADTokenExchange");
        let version = &seed.vaults[0].secrets[0].versions[0];
        assert_eq!(version.value, "0123");
        assert_eq!(version.version.as_deref(), Some("11111111111111111111111111111111"));
        assert!(version.enabled);
    }
}
