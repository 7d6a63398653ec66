//! A certificate's chain in order: leaf, intermediates, root.
//!
//! Who issued whom is told by names first, as in RFC 5280, 6.1, and then by the signature, which
//! tells certificates of one name apart: cross-signed ones, and an authority before and after its
//! key changed. Key identifiers decide only where a signature cannot be checked, so certificates
//! without them order as well. This puts certificates in order and trusts none of them: validity,
//! constraints and revocation are the business of whoever uses the chain.

mod signature;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;

use self::signature::Signature;

/// The most certificates that are put in order. A chain of the web has four.
const MAX_CERTIFICATES: usize = 64;
/// The most signatures that are checked: one of RSA 8192 costs a third of a millisecond.
const MAX_CHECKS: usize = 256;
/// The most steps of the search for a line through all certificates.
const MAX_STEPS: usize = 4096;

/// Certificates, in order if an order was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// All certificates: if complete, from the leaf up and each one once; else as they were.
    pub certificates: Vec<Vec<u8>>,
    /// Whether each certificate issued the one before it. A root may be missing: most servers leave
    /// it out.
    pub complete: bool,
}

/// Puts certificates (DER) in order: first the one that issued none of the others, then each one's
/// issuer.
///
/// Where they make no single line with every certificate in it, they stay as they are and none is
/// dropped. The order depends on the certificates only, not on the order in which they come.
pub fn order(certificates: Vec<Vec<u8>>) -> Chain {
    match line(&certificates) {
        Some(certificates) => Chain { certificates, complete: true },
        None => Chain { certificates, complete: false },
    }
}

fn line(certificates: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    // Sorted, so that where two lines are possible (a root beside its cross-signed twin) the same one
    // is found whatever the vault's order.
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
    let mut search = Search { issuers: issuers(&parsed)?, line: Vec::new(), steps: MAX_STEPS };
    search.line.push(search.leaf()?);
    search
        .complete()
        .then(|| search.line.iter().filter_map(|&at| distinct.get(at).copied().cloned()).collect())
}

/// For each certificate, the others that issued it.
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

/// A certificate, and what of it tells who issued it.
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

    /// Whether the issuer that it names has the name of `issuer`.
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

/// The search for a line from the leaf through all certificates.
struct Search {
    issuers: Vec<Vec<usize>>,
    line: Vec<usize>,
    steps: usize,
}

impl Search {
    /// The only certificate that issued none of the others: a line can begin nowhere else.
    fn leaf(&self) -> Option<usize> {
        let issued = |at: &usize| self.issuers.iter().any(|issuers| issuers.contains(at));
        let mut leaves = (0..self.issuers.len()).filter(|at| !issued(at));
        let leaf = leaves.next()?;
        leaves.next().is_none().then_some(leaf)
    }

    /// Lengthens the line by issuers until every certificate is in it; else leaves it as it was.
    fn complete(&mut self) -> bool {
        if self.line.len() == self.issuers.len() {
            return true;
        }
        let last = self.line.last().and_then(|&last| self.issuers.get(last));
        for next in last.cloned().unwrap_or_default() {
            let Some(left) = self.steps.checked_sub(1) else { return false };
            self.steps = left;
            if self.line.contains(&next) {
                continue;
            }
            self.line.push(next);
            if self.complete() {
                return true;
            }
            self.line.pop();
        }
        false
    }
}

#[cfg(test)]
mod tests;
