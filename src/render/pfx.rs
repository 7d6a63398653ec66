//! PKCS#12 (RFC 7292) to its private key and its certificates.
//!
//! The crates of `RustCrypto` do the ASN.1, the key derivation and the ciphers; what is walked here is
//! the handful of structures around them. `p12-keystore` does the same on the same crates, but inside
//! an encrypted safe, where its caller cannot look before, it runs whatever derivation the file asks
//! for (scrypt over a gigabyte, or at a cost of zero, which panics in `pkcs5` 0.8.1), and it leaves
//! copies of the key in memory. Here every derivation is paid for from one allowance before it starts.

mod cipher;
mod key;
mod structure;

use der::asn1::{AnyRef, OctetStringRef};
use der::oid::ObjectIdentifier;
use der::{Decode, Encode};

use self::structure::{Bag, CertificateBag, EncryptedData, Pfx, Safe, ShroudedKey};
use crate::secret::SecretBytes;

/// The longest file that is looked at, in bytes. A secret of Key Vault holds 25 kB at most.
const MAX_SIZE: usize = 1 << 20;

/// What a PKCS#12 file holds.
#[derive(Debug)]
pub struct Bundle {
    /// The private key: PKCS#8 `PrivateKeyInfo`, DER, version 0 and without attributes, as Go's
    /// `x509.MarshalPKCS8PrivateKey` and `openssl pkcs12` write it.
    pub key: SecretBytes,
    /// The certificates, DER, in the file's order.
    pub certificates: Vec<Vec<u8>>,
}

/// Why a PKCS#12 file cannot be read. No part of the file is in it but object identifiers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PfxError {
    /// Larger than any secret of Key Vault.
    #[error("it is larger than a PKCS#12 file can be in Key Vault")]
    TooLarge,
    /// Not PKCS#12, or damaged.
    #[error("it is not a whole PKCS#12 file")]
    Malformed,
    /// The integrity check or the padding is wrong.
    #[error("it does not open with the empty password, or it is damaged")]
    WrongPassword,
    /// A cipher, or a parameter of one, that is not read.
    #[error("it is encrypted in a way that is not supported (object identifier {0})")]
    Cipher(ObjectIdentifier),
    /// A message authentication code that is not read.
    #[error("its integrity check is of a kind that is not supported (object identifier {0})")]
    Mac(ObjectIdentifier),
    /// A structure that is not read.
    #[error("it holds something that is not supported (object identifier {0})")]
    Content(ObjectIdentifier),
    /// Its key derivation would take seconds.
    #[error("its key derivation asks for more iterations than are allowed")]
    Iterations,
    /// The private key inside is not PKCS#8.
    #[error("its private key is not PKCS#8")]
    Key,
    /// There is no private key.
    #[error("it holds no private key")]
    NoKey,
    /// There are two different private keys.
    #[error("it holds several private keys")]
    SeveralKeys,
    /// There is no certificate.
    #[error("it holds no certificate")]
    NoCertificate,
}

/// What a structure that does not parse means.
impl From<der::Error> for PfxError {
    fn from(_: der::Error) -> Self {
        Self::Malformed
    }
}

/// Opens a PKCS#12 file that has the empty password.
///
/// Work is bounded: [`PfxError::TooLarge`] above 1 MiB, and all its key derivations together may
/// take 1,000,000 hash rounds (a part of a second; OpenSSL's and Windows' defaults ask for some 20,000).
///
/// # Errors
/// [`PfxError`], which names neither the object nor anything inside.
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

/// What was found so far.
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
                // Neither belongs to a certificate, and `openssl pkcs12` passes over them as well.
                structure::REVOCATION_LIST | structure::SECRET => {}
                other => return Err(PfxError::Content(other)),
            }
        }
        Ok(())
    }

    /// A file may hold the same key twice; which of two different ones is meant cannot be told.
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

/// The bytes of a safe that is not encrypted.
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
