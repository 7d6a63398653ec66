//! Orders the certificates of a chain: leaf, intermediates, root.
//!
//! A certificate's issuer is found by its name, as in RFC 5280, 6.1, and then by the signature. The signature distinguishes
//! certificates with the same name: cross-signed ones, and an authority before and after a change of its key. Key
//! identifiers are used only if the signature cannot be checked, so certificates without them can be ordered as well. This
//! module does not establish trust: the user of the chain checks validity, constraints and revocation.

mod signature;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;

use self::signature::Signature;

/// Maximum number of certificates that are ordered. A typical chain has up to four.
const MAX_CERTIFICATES: usize = 64;
/// Maximum number of signature checks. One check with RSA 8192 takes a third of a millisecond.
const MAX_CHECKS: usize = 256;
/// Maximum number of steps of the search for a path through all certificates.
const MAX_STEPS: usize = 4096;

/// The certificates of a chain, ordered if possible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// All certificates. If the chain is complete, from the leaf up and without duplicates; otherwise in the given order.
    pub certificates: Vec<Vec<u8>>,
    /// Whether each certificate issued the previous one. The root may be missing, as most servers omit it.
    pub complete: bool,
}

/// Orders DER certificates: first the one that issued none of the others, then the issuer of each.
///
/// If there is no single path through all certificates, they keep their order, and none is dropped. The result does not
/// depend on the given order.
pub fn order(certificates: Vec<Vec<u8>>) -> Chain {
    match find_path(&certificates) {
        Some(certificates) => Chain { certificates, complete: true },
        None => Chain { certificates, complete: false },
    }
}

fn find_path(certificates: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    // Sorted, so that the result does not depend on the vault's order if several paths are possible, for example with a
    // root and its cross-signed twin.
    let mut distinct = certificates.iter().collect::<Vec<_>>();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() <= 1 {
        return Some(distinct.into_iter().cloned().collect());
    }
    if distinct.len() > MAX_CERTIFICATES {
        return None;
    }
    let parsed = distinct.iter().map(|der| Certificate::parse(der)).collect::<Option<Vec<_>>>()?;
    let mut search = Search { issuers: issuers(&parsed)?, path: Vec::new(), steps: MAX_STEPS };
    search.path.push(search.leaf()?);
    search
        .complete()
        .then(|| search.path.iter().filter_map(|&at| distinct.get(at).copied().cloned()).collect())
}

/// The possible issuers of each certificate.
fn issuers(certificates: &[Certificate<'_>]) -> Option<Vec<Vec<usize>>> {
    let mut checks = MAX_CHECKS;
    let mut all = Vec::with_capacity(certificates.len());
    for (at, subject) in certificates.iter().enumerate() {
        let mut issuers = Vec::new();
        for (other, issuer) in certificates.iter().enumerate() {
            if at == other || !subject.names(issuer) {
                continue;
            }
            checks = checks.checked_sub(1)?;
            if subject.issued_by(issuer) {
                issuers.push(other);
            }
        }
        all.push(issuers);
    }
    Some(all)
}

/// A certificate, with the fields that identify its issuer.
struct Certificate<'a> {
    x509: X509Certificate<'a>,
    key_id: Option<&'a [u8]>,
    authority_key_id: Option<&'a [u8]>,
}

impl<'a> Certificate<'a> {
    fn parse(der: &'a [u8]) -> Option<Self> {
        let (rest, x509) = X509Certificate::from_der(der).ok()?;
        let (mut key_id, mut authority_key_id) = (None, None);
        for extension in x509.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => key_id = Some(id.0),
                ParsedExtension::AuthorityKeyIdentifier(authority) => {
                    authority_key_id = authority.key_identifier.as_ref().map(|id| id.0);
                }
                _ => {}
            }
        }
        rest.is_empty().then_some(Self { x509, key_id, authority_key_id })
    }

    /// Whether this certificate's issuer name is the subject name of `issuer`.
    fn names(&self, issuer: &Certificate<'_>) -> bool {
        self.x509.issuer().as_raw() == issuer.x509.subject().as_raw()
    }

    fn issued_by(&self, issuer: &Certificate<'_>) -> bool {
        match signature::check(&self.x509, issuer.x509.public_key()) {
            Signature::Good => true,
            Signature::Bad => false,
            Signature::Unknown => match (self.authority_key_id, issuer.key_id) {
                (Some(named), Some(own)) => named == own,
                _ => true,
            },
        }
    }
}

/// The search for a path from the leaf through all certificates.
struct Search {
    issuers: Vec<Vec<usize>>,
    path: Vec<usize>,
    steps: usize,
}

impl Search {
    /// The only certificate that issued none of the others. A path can only start there.
    fn leaf(&self) -> Option<usize> {
        let issued = |at: &usize| self.issuers.iter().any(|issuers| issuers.contains(at));
        let mut leaves = (0..self.issuers.len()).filter(|at| !issued(at));
        let leaf = leaves.next()?;
        leaves.next().is_none().then_some(leaf)
    }

    /// Extends the path by issuers until it contains all certificates. If that is not possible, the path is unchanged.
    fn complete(&mut self) -> bool {
        if self.path.len() == self.issuers.len() {
            return true;
        }
        let last = self.path.last().and_then(|&last| self.issuers.get(last));
        for next in last.cloned().unwrap_or_default() {
            let Some(left) = self.steps.checked_sub(1) else { return false };
            self.steps = left;
            if self.path.contains(&next) {
                continue;
            }
            self.path.push(next);
            if self.complete() {
                return true;
            }
            self.path.pop();
        }
        false
    }
}

#[cfg(test)]
mod tests;
