//! As much of a certificate (RFC 5280) as Key Vault and Entra say about it.

use std::ops::Range;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use data_encoding::BASE64;
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use crate::der::{INTEGER, Reader, SEQUENCE};
use crate::public_key::PublicKey;

/// The version of a certificate, before its serial number: `[0]`.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Why there is no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error("neither base64 nor a PEM block CERTIFICATE")]
    Encoding,
    #[error("not an X.509 certificate with a supported key")]
    Content,
}

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct X509 {
    pub(crate) der: Vec<u8>,
    pub(crate) public_key: PublicKey,
    pub(crate) not_before: OffsetDateTime,
    pub(crate) not_after: OffsetDateTime,
}

impl X509 {
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        read(der).ok_or(CertificateError::Content)
    }

    /// The first certificate of a PEM text.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, CertificateError> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| CertificateError::Encoding)?;
        Self::from_der(&der)
    }

    /// From PEM or base64, whichever `text` is.
    pub(crate) fn from_text(text: &str) -> Result<Self, CertificateError> {
        if text.contains("-----BEGIN") {
            return Self::from_pem(text);
        }
        Self::from_der(&base64(text).ok_or(CertificateError::Encoding)?)
    }

    pub(crate) fn sha1(&self) -> Vec<u8> {
        digest(&SHA1_FOR_LEGACY_USE_ONLY, &self.der).as_ref().to_vec()
    }

    pub(crate) fn sha256(&self) -> Vec<u8> {
        digest(&SHA256, &self.der).as_ref().to_vec()
    }
}

/// Base64 that may be broken into lines.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    let joined: String = text.split_ascii_whitespace().collect();
    BASE64.decode(joined.as_bytes()).ok()
}

fn read(der: &[u8]) -> Option<X509> {
    let mut fields = Reader::new(der).sequence()?.sequence()?;
    fields.take(VERSION);
    fields.take(INTEGER)?;
    let _signature = fields.take(SEQUENCE)?;
    let _issuer = fields.take(SEQUENCE)?;
    let mut validity = fields.sequence()?;
    let _subject = fields.take(SEQUENCE)?;
    let public_key = PublicKey::from_spki(fields.sequence()?)?;
    let (not_before, not_after) = (time(validity.element()?)?, time(validity.element()?)?);
    Some(X509 { der: der.to_vec(), public_key, not_before, not_after })
}

/// A time as RFC 5280 section 4.1.2.5 wants it: to the second, in UTC.
fn time((tag, content): (u8, &[u8])) -> Option<OffsetDateTime> {
    let text = str::from_utf8(content).ok()?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (digits, rest) = text.split_at_checked(2)?;
            let year: i32 = digits.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (digits, rest) = text.split_at_checked(4)?;
            (digits.parse().ok()?, rest)
        }
        _ => return None,
    };
    let number = |range: Range<usize>| rest.get(range)?.parse::<u8>().ok();
    let month = Month::try_from(number(0..2)?).ok()?;
    let date = Date::from_calendar_date(year, month, number(2..4)?).ok()?;
    date.with_hms(number(4..6)?, number(6..8)?, number(8..10)?).ok().map(PrimitiveDateTime::assume_utc)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use time::format_description::well_known::Rfc3339;

    use super::*;

    #[test]
    fn a_certificate_says_its_key_and_how_long_it_is_good() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["web.test".to_owned()]).unwrap();
        params.not_before = OffsetDateTime::parse("2026-01-02T03:04:05Z", &Rfc3339).unwrap();
        // Beyond 2049 a time is written with four digits for its year.
        params.not_after = OffsetDateTime::parse("2051-12-31T23:59:59Z", &Rfc3339).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let read = X509::from_pem(&certificate.pem()).unwrap();
        assert_eq!(read.public_key, PublicKey::from_pem(&key.public_key_pem()).unwrap());
        assert_eq!((read.not_before, read.not_after), (params.not_before, params.not_after));
        assert_eq!((read.sha1().len(), read.sha256().len()), (20, 32));
        let base64 = BASE64.encode(certificate.der());
        assert_eq!(X509::from_text(&format!("{base64}\n")), Ok(read));
    }

    #[test]
    fn what_is_no_certificate_is_said_to_be_none() {
        assert_eq!(X509::from_text("!"), Err(CertificateError::Encoding));
        assert_eq!(X509::from_text("AAAA"), Err(CertificateError::Content));
        let key = KeyPair::generate().unwrap();
        assert_eq!(X509::from_text(&key.public_key_pem()), Err(CertificateError::Encoding));
    }
}
