//! Checks and decrypts a PKCS#12 file with the empty password.

use aws_lc_rs::hmac;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyInit, KeyIvInit};
use der::ErrorKind;
use der::oid::ObjectIdentifier;
use des::{TdesEde2, TdesEde3};
use pkcs5::AlgorithmIdentifierRef;
use pkcs5::pbes2;
use pkcs12::kdf::{Pkcs12KeyType, derive_key};
use rc2::Rc2;
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

use super::PfxError;
use super::structure::{MacData, PbeParameters};
use crate::secret::SecretBytes;

/// Maximum cost of all key derivations of one file together, in hash rounds.
const MAX_ROUNDS: u64 = 1_000_000;

const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA224: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.4");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

const TRIPLE_DES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.3");
const TWO_KEY_TRIPLE_DES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.4");
const RC2_128: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.5");
const RC2_40: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.6");

/// The empty password as defined in RFC 7292 (two zero bytes terminate every password), and as used by some tools (no
/// bytes).
const TERMINATED: &[u8] = &[0, 0];
const BARE: &[u8] = &[];

/// The empty password in the form that the file uses.
pub(super) struct Password {
    form: &'static [u8],
    proven: bool,
    rounds_left: u64,
}

impl Password {
    /// Checks the file's integrity. A file without an integrity check is accepted; then only the padding reveals a wrong
    /// password.
    pub(super) fn find(mac: Option<&MacData<'_>>, message: &[u8]) -> Result<Self, PfxError> {
        let mut password = Self { form: TERMINATED, proven: false, rounds_left: MAX_ROUNDS };
        let Some(mac) = mac else { return Ok(password) };
        for form in [TERMINATED, BARE] {
            password.form = form;
            if password.fits(mac, message)? {
                password.proven = true;
                return Ok(password);
            }
        }
        Err(PfxError::WrongPassword)
    }

    fn fits(&mut self, mac: &MacData<'_>, message: &[u8]) -> Result<bool, PfxError> {
        type Derive = fn(&[u8], &[u8], Pkcs12KeyType, i32, usize) -> Vec<u8>;
        let (derive, length, hmac): (Derive, _, _) = match mac.mac.algorithm.oid {
            SHA1 => (derive_key::<Sha1>, 20, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
            SHA224 => (derive_key::<Sha224>, 28, hmac::HMAC_SHA224),
            SHA256 => (derive_key::<Sha256>, 32, hmac::HMAC_SHA256),
            SHA384 => (derive_key::<Sha384>, 48, hmac::HMAC_SHA384),
            SHA512 => (derive_key::<Sha512>, 64, hmac::HMAC_SHA512),
            other => return Err(PfxError::Mac(other)),
        };
        let rounds = self.spend(mac.iterations, 1)?;
        let key = derive(self.form, mac.salt.as_bytes(), Pkcs12KeyType::Mac, rounds, length);
        let key = hmac::Key::new(hmac, &Zeroizing::new(key));
        Ok(hmac::verify(&key, message, mac.mac.digest.as_bytes()).is_ok())
    }

    /// Subtracts `iterations` of `hashes` hashes each from the remaining rounds.
    fn spend(&mut self, iterations: u32, hashes: u64) -> Result<i32, PfxError> {
        let cost = u64::from(iterations) * hashes;
        self.rounds_left = self.rounds_left.checked_sub(cost).ok_or(PfxError::Iterations)?;
        match i32::try_from(iterations) {
            Ok(rounds) if rounds > 0 => Ok(rounds),
            _ => Err(PfxError::Malformed),
        }
    }

    /// Decrypts `sealed`.
    pub(super) fn decrypt(
        &mut self,
        algorithm: &AlgorithmIdentifierRef<'_>,
        sealed: &[u8],
    ) -> Result<SecretBytes, PfxError> {
        match algorithm.oid {
            pbes2::PBES2_OID => self.decrypt_pbes2(algorithm, sealed),
            TRIPLE_DES => self.decrypt_pbes1::<TdesEde3>(algorithm, 24, sealed),
            TWO_KEY_TRIPLE_DES => self.decrypt_pbes1::<TdesEde2>(algorithm, 16, sealed),
            RC2_128 => self.decrypt_pbes1::<Rc2>(algorithm, 16, sealed),
            RC2_40 => self.decrypt_pbes1::<Rc2>(algorithm, 5, sealed),
            other => Err(PfxError::Cipher(other)),
        }
    }

    /// PBES2 of RFC 8018, where the empty password has only one form.
    fn decrypt_pbes2(
        &mut self,
        algorithm: &AlgorithmIdentifierRef<'_>,
        sealed: &[u8],
    ) -> Result<SecretBytes, PfxError> {
        let parameters = algorithm.parameters.ok_or(PfxError::Malformed)?;
        let parameters = pbes2::Parameters::try_from(parameters).map_err(|error| match error.kind() {
            ErrorKind::OidUnknown { oid } => PfxError::Cipher(oid),
            _ => PfxError::Malformed,
        })?;
        // With scrypt, the file could require any amount of memory; no tool uses it for PKCS#12 by default.
        let pbes2::Kdf::Pbkdf2(pbkdf2) = &parameters.kdf else {
            return Err(PfxError::Cipher(parameters.kdf.oid()));
        };
        // An HMAC takes two hashes. A key that is longer than the hash (32 bytes with SHA-1) takes two HMACs.
        self.spend(pbkdf2.iteration_count, 4)?;
        let decrypt = |buffer: &mut [u8]| parameters.decrypt_in_place(BARE, buffer).map(<[u8]>::len).ok();
        in_place(sealed, decrypt).ok_or_else(|| self.wrong())
    }

    /// The ciphers of RFC 7292, appendix C, with SHA-1.
    fn decrypt_pbes1<C: BlockCipherDecrypt + KeyInit>(
        &mut self,
        algorithm: &AlgorithmIdentifierRef<'_>,
        length: usize,
        sealed: &[u8],
    ) -> Result<SecretBytes, PfxError> {
        let parameters = algorithm.parameters.ok_or(PfxError::Malformed)?;
        let parameters: PbeParameters<'_> = parameters.decode_as()?;
        // The key of 24 bytes takes two hashes, and the initialization vector one.
        let rounds = self.spend(parameters.iterations, 3)?;
        let derive = |kind, length| {
            Zeroizing::new(derive_key::<Sha1>(self.form, parameters.salt.as_bytes(), kind, rounds, length))
        };
        let (key, vector) = (derive(Pkcs12KeyType::EncryptionKey, length), derive(Pkcs12KeyType::Iv, 8));
        let decrypt = |buffer: &mut [u8]| {
            let cipher = cbc::Decryptor::<C>::new_from_slices(&key, &vector).ok()?;
            cipher.decrypt_padded::<Pkcs7>(buffer).map(<[u8]>::len).ok()
        };
        in_place(sealed, decrypt).ok_or_else(|| self.wrong())
    }

    /// The error for data that cannot be decrypted.
    fn wrong(&self) -> PfxError {
        if self.proven { PfxError::Malformed } else { PfxError::WrongPassword }
    }
}

/// Decrypts a copy of `sealed` and truncates it to the decrypted length. The copy is zeroized, also on errors.
fn in_place(sealed: &[u8], decrypt: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<SecretBytes> {
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let length = decrypt(&mut buffer)?;
    buffer.truncate(length);
    Some(SecretBytes::new(std::mem::take(&mut *buffer)))
}
