//! Keys in the note format: `name+id+base64(algorithm ‖ public key)` to verify with, and
//! `PRIVATE+KEY+name+id+base64(algorithm ‖ seed)` to sign with, as Go's `note` package writes them.

use std::fmt;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use super::note::Signature;
use super::strict::{from_base64, to_base64};
use super::{Error, is_name};

/// What a key signs, by the byte of the note format. Further ones (the specification prefers ML-DSA-44
/// for cosignatures) get further bytes, and are unknown keys to those who do not know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519 over the text: 64 bytes. For logs.
    Ed25519,
    /// Ed25519 over the text and the time of signing: 8 bytes of time and 64 of signature
    /// (tlog-cosignature). For witnesses.
    Cosignature,
}

impl Algorithm {
    const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::Cosignature => 0x04,
        }
    }

    fn of(byte: u8) -> Result<Self, Error> {
        match byte {
            0x01 => Ok(Self::Ed25519),
            0x04 => Ok(Self::Cosignature),
            _ => Err(Error::Key("its algorithm is neither Ed25519 (1) nor a timed Ed25519 cosignature (4)")),
        }
    }
}

/// SHA-256(name ‖ LF ‖ algorithm ‖ public key), first 4 bytes.
fn id(name: &str, algorithm: Algorithm, key: &VerifyingKey) -> [u8; 4] {
    let hash = Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', algorithm.byte()])
        .chain_update(key.as_bytes())
        .finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}

pub(super) fn hex(id: [u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}

/// What a cosignature signs.
fn cosigned(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// A key to verify with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    algorithm: Algorithm,
    key: VerifyingKey,
}

impl VerifierKey {
    /// Reads a key in its one spelling, and derives its id anew.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(_), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Error::Key("it is not name+id+base64"));
        };
        if !is_name(name) {
            return Err(Error::Key("its name is empty or holds white space"));
        }
        let data = from_base64(data).ok_or(Error::Key("its last part is not base64"))?;
        let (&algorithm, key) = data.split_first().ok_or(Error::Key("its last part is empty"))?;
        let algorithm = Algorithm::of(algorithm)?;
        let key = <[u8; 32]>::try_from(key).map_err(|_| Error::Key("its public key is not 32 bytes"))?;
        let key = VerifyingKey::from_bytes(&key).map_err(|_| Error::Key("its public key is no point"))?;
        if key.is_weak() {
            return Err(Error::Key("its public key is a weak one"));
        }
        let read = Self { name: name.to_owned(), algorithm, key };
        // The id and its spelling too.
        if read.to_string() != text {
            return Err(Error::Key("its id does not follow from its name and public key"));
        }
        Ok(read)
    }

    /// Name of the log or witness.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the key signs.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// First bytes of a hash, by which signature lines name the key.
    pub fn id(&self) -> [u8; 4] {
        id(&self.name, self.algorithm, &self.key)
    }

    /// Whether `signature` names this key.
    pub(super) fn is_of(&self, signature: &Signature) -> bool {
        signature.name == self.name && signature.id == self.id()
    }

    /// Whether the key signed `text`.
    pub(super) fn signed(&self, text: &str, signature: &[u8]) -> bool {
        let ed25519 = |message: &[u8], signature: &[u8]| {
            let signature = ed25519_dalek::Signature::from_slice(signature);
            signature.is_ok_and(|signature| self.key.verify_strict(message, &signature).is_ok())
        };
        match self.algorithm {
            Algorithm::Ed25519 => ed25519(text.as_bytes(), signature),
            Algorithm::Cosignature => signature.split_first_chunk::<8>().is_some_and(|(time, signature)| {
                ed25519(cosigned(text, u64::from_be_bytes(*time)).as_bytes(), signature)
            }),
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = [&[self.algorithm.byte()], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex(self.id()), to_base64(&data))
    }
}

/// A key to sign with.
#[derive(Clone)]
pub struct SignerKey {
    name: String,
    algorithm: Algorithm,
    key: SigningKey,
}

impl fmt::Debug for SignerKey {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignerKey").field("verifier", &self.verifier().to_string()).finish_non_exhaustive()
    }
}

impl PartialEq for SignerKey {
    fn eq(&self, other: &Self) -> bool {
        self.verifier() == other.verifier()
    }
}

impl Eq for SignerKey {}

impl SignerKey {
    /// The key of `name` that follows from a secret of 32 random bytes.
    ///
    /// # Errors
    /// When the name cannot be one.
    pub fn new(name: &str, algorithm: Algorithm, seed: &[u8; 32]) -> Result<Self, Error> {
        if !is_name(name) {
            return Err(Error::Key("its name is empty, or holds white space or `+`"));
        }
        Ok(Self { name: name.to_owned(), algorithm, key: SigningKey::from_bytes(seed) })
    }

    /// Reads `PRIVATE+KEY+name+id+base64`.
    ///
    /// # Errors
    /// When it is not one. What is wrong is told without the key.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let rest =
            text.strip_prefix("PRIVATE+KEY+").ok_or(Error::Key("it is not PRIVATE+KEY+name+id+base64"))?;
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(stated), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Error::Key("it is not PRIVATE+KEY+name+id+base64"));
        };
        let data = from_base64(data).ok_or(Error::Key("its last part is not base64"))?;
        let (&algorithm, seed) = data.split_first().ok_or(Error::Key("its last part is empty"))?;
        let seed = <[u8; 32]>::try_from(seed).map_err(|_| Error::Key("its secret is not 32 bytes"))?;
        let key = Self::new(name, Algorithm::of(algorithm)?, &seed)?;
        if hex(key.verifier().id()) != stated {
            return Err(Error::Key("its id does not follow from its name and secret"));
        }
        Ok(key)
    }

    /// The key as `parse` reads it. It is the secret itself: for a file that nobody else can read.
    pub fn expose(&self) -> String {
        let data = [&[self.algorithm.byte()], self.key.as_bytes().as_slice()].concat();
        format!("PRIVATE+KEY+{}+{}+{}", self.name, hex(self.verifier().id()), to_base64(&data))
    }

    /// Name of the log or witness.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What others verify with.
    pub fn verifier(&self) -> VerifierKey {
        VerifierKey { name: self.name.clone(), algorithm: self.algorithm, key: self.key.verifying_key() }
    }

    /// Signs `text`; `time`, in seconds since the epoch, is part of a cosignature and of nothing else.
    pub fn sign(&self, text: &str, time: u64) -> Signature {
        let bytes = match self.algorithm {
            Algorithm::Ed25519 => self.key.sign(text.as_bytes()).to_bytes().to_vec(),
            Algorithm::Cosignature => {
                let signature = self.key.sign(cosigned(text, time).as_bytes()).to_bytes();
                [time.to_be_bytes().as_slice(), &signature].concat()
            }
        };
        Signature { name: self.name.clone(), id: self.verifier().id(), bytes }
    }
}
