//! Reads the private key and the certificates of a PKCS#12 file (RFC 7292).
//!
//! The `RustCrypto` crates implement ASN.1, key derivation and ciphers. This module parses the structures around them.
//! `p12-keystore` does the same with the same crates, but inside an encrypted safe, which its caller cannot inspect first,
//! it runs any key derivation that the file requests (scrypt with a gigabyte of memory, or with a cost of zero, which panics
//! in `pkcs5` 0.8.1), and it leaves copies of the key in memory. This module limits the total cost of all key derivations,
//! and checks the limit before each one.

mod cipher;
mod key;
mod structure;

use der::asn1::{AnyRef, OctetStringRef};
use der::oid::ObjectIdentifier;
use der::{Decode, Encode};

use self::structure::{Bag, CertificateBag, EncryptedData, Pfx, Safe, ShroudedKey};
use crate::secret::SecretBytes;

/// Maximum size of a file in bytes. A secret in Key Vault has at most 25 kB.
const MAX_SIZE: usize = 1 << 20;

/// The contents of a PKCS#12 file.
#[derive(Debug)]
pub struct Bundle {
    /// The private key: DER of PKCS#8 `PrivateKeyInfo`, version 0, without attributes, like the output of Go's
    /// `x509.MarshalPKCS8PrivateKey` and of `openssl pkcs12`.
    pub key: SecretBytes,
    /// The DER certificates, in the file's order.
    pub certificates: Vec<Vec<u8>>,
}

/// An error about a PKCS#12 file. Contains no data of the file except object identifiers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PfxError {
    /// The file is larger than any secret in Key Vault.
    #[error("it is larger than 1 MiB")]
    TooLarge,
    /// The file is not PKCS#12, or is damaged.
    #[error("it is not a valid PKCS#12 file")]
    Malformed,
    /// The integrity check or the padding is wrong.
    #[error("it has a password, or it is damaged")]
    WrongPassword,
    /// A cipher or one of its parameters is not supported.
    #[error("its encryption algorithm is not supported (object identifier {0})")]
    Cipher(ObjectIdentifier),
    /// The message authentication code is not supported.
    #[error("its integrity check is not supported (object identifier {0})")]
    Mac(ObjectIdentifier),
    /// A structure is not supported.
    #[error("it contains a structure that is not supported (object identifier {0})")]
    Content(ObjectIdentifier),
    /// The key derivation would take seconds.
    #[error("its key derivation has more iterations than the limit of 1,000,000 in total")]
    Iterations,
    /// The private key is not PKCS#8.
    #[error("its private key is not PKCS#8")]
    Key,
    /// There is no private key.
    #[error("it has no private key")]
    NoKey,
    /// There are several different private keys.
    #[error("it has several private keys")]
    SeveralKeys,
    /// There is no certificate.
    #[error("it has no certificate")]
    NoCertificate,
}

impl From<der::Error> for PfxError {
    fn from(_: der::Error) -> Self {
        Self::Malformed
    }
}

/// Opens a PKCS#12 file with the empty password.
///
/// The work is limited: a file above 1 MiB is [`PfxError::TooLarge`], and all key derivations together may take 1,000,000
/// hash rounds (less than a second; the defaults of OpenSSL and Windows take about 20,000).
///
/// # Errors
/// [`PfxError`], which does not name the object.
pub fn open(pkcs12: &[u8]) -> Result<Bundle, PfxError> {
    if pkcs12.len() > MAX_SIZE {
        return Err(PfxError::TooLarge);
    }
    let pfx = Pfx::from_der(pkcs12)?;
    if pfx.version != 3 {
        return Err(PfxError::Malformed);
    }
    let safes = data(&pfx.safes)?;
    let password = cipher::Password::find(pfx.mac.as_ref(), safes)?;
    let mut contents = PfxContents { password, key: None, certificates: Vec::new() };
    for safe in Vec::<Safe<'_>>::from_der(safes)? {
        contents.read_safe(&safe)?;
    }
    let key = contents.key.ok_or(PfxError::NoKey)?;
    if contents.certificates.is_empty() {
        return Err(PfxError::NoCertificate);
    }
    Ok(Bundle { key, certificates: contents.certificates })
}

/// The keys and certificates found so far.
struct PfxContents {
    password: cipher::Password,
    key: Option<SecretBytes>,
    certificates: Vec<Vec<u8>>,
}

impl PfxContents {
    fn read_safe(&mut self, safe: &Safe<'_>) -> Result<(), PfxError> {
        if safe.kind != structure::ENCRYPTED_DATA {
            return self.read_bags(data(safe)?);
        }
        let encrypted: EncryptedData<'_> = content(safe)?.decode_as()?;
        let sealed = encrypted.content.data.ok_or(PfxError::Malformed)?;
        let opened = self.password.decrypt(&encrypted.content.algorithm, sealed.as_bytes())?;
        self.read_bags(opened.expose())
    }

    fn read_bags(&mut self, bags: &[u8]) -> Result<(), PfxError> {
        for bag in Vec::<Bag<'_>>::from_der(bags)? {
            match bag.kind {
                structure::KEY => self.add_key(SecretBytes::new(bag.value.to_der()?).expose())?,
                structure::SHROUDED_KEY => {
                    let shrouded: ShroudedKey<'_> = bag.value.decode_as()?;
                    let opened = self.password.decrypt(&shrouded.algorithm, shrouded.data.as_bytes())?;
                    self.add_key(opened.expose())?;
                }
                structure::CERTIFICATE => {
                    let bag: CertificateBag<'_> = bag.value.decode_as()?;
                    if bag.kind != structure::X509 {
                        return Err(PfxError::Content(bag.kind));
                    }
                    self.certificates.push(bag.value.as_bytes().to_vec());
                }
                // These do not belong to a certificate, and `openssl pkcs12` ignores them as well.
                structure::REVOCATION_LIST | structure::SECRET => {}
                other => return Err(PfxError::Content(other)),
            }
        }
        Ok(())
    }

    /// Adds a key. A file may contain the same key twice, but not two different keys.
    fn add_key(&mut self, der: &[u8]) -> Result<(), PfxError> {
        let key = key::canonical(der)?;
        match &self.key {
            Some(known) if *known != key => Err(PfxError::SeveralKeys),
            _ => {
                self.key = Some(key);
                Ok(())
            }
        }
    }
}

fn content<'a>(safe: &Safe<'a>) -> Result<AnyRef<'a>, PfxError> {
    safe.content.ok_or(PfxError::Malformed)
}

/// The contents of a safe that is not encrypted.
fn data<'a>(safe: &Safe<'a>) -> Result<&'a [u8], PfxError> {
    if safe.kind != structure::DATA {
        return Err(PfxError::Content(safe.kind));
    }
    Ok(content(safe)?.decode_as::<&'a OctetStringRef>()?.as_bytes())
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
