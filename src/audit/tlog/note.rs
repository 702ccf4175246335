//! A signed note: a text, a blank line, and a line for each signature. The text ends at the last blank
//! line.

use std::fmt;

use super::key::hex;
use super::strict::{from_base64, to_base64};
use super::{Error, VerifierKey, is_name};

/// Largest note that is looked at, bytes.
const NOTE_BYTES: usize = 1 << 20;
/// Most signatures in one; the specification asks for 16 at least.
const SIGNATURES: usize = 100;
/// Em dash and space, before the name of a key.
const DASH: &str = "\u{2014} ";

/// One signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Name of the key.
    pub name: String,
    /// Its id.
    pub id: [u8; 4],
    /// What it made of the text; at least one byte.
    pub bytes: Vec<u8>,
}

impl Signature {
    fn parse(line: &str) -> Result<Self, Error> {
        let line =
            line.strip_prefix(DASH).ok_or(Error::Note("a signature does not begin with an em dash"))?;
        let (name, data) = line.split_once(' ').ok_or(Error::Note("a signature has no value"))?;
        if !is_name(name) {
            return Err(Error::Note("the name of a key is not one"));
        }
        let data = from_base64(data).ok_or(Error::Note("a signature is not base64"))?;
        match data.split_first_chunk::<4>() {
            Some((id, bytes)) if !bytes.is_empty() => {
                Ok(Self { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
            }
            _ => Err(Error::Note("a signature is too short")),
        }
    }
}

/// A text and signatures over it, of which nothing is known yet but their form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What is signed; ends with a line feed.
    pub text: String,
    /// At least one.
    pub signatures: Vec<Signature>,
}

impl Note {
    /// Reads a note.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > NOTE_BYTES {
            return Err(Error::Note("it is longer than a mebibyte"));
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| Error::Note("it is not UTF-8"))?;
        if whole.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(Error::Note("it holds a control character"));
        }
        let (text, lines) = whole.rsplit_once("\n\n").ok_or(Error::Note("it has no blank line"))?;
        let lines = lines.strip_suffix('\n').ok_or(Error::Note("its last line has no end"))?;
        let signatures: Vec<Signature> = lines.split('\n').map(Signature::parse).collect::<Result<_, _>>()?;
        if signatures.len() > SIGNATURES {
            return Err(Error::Note("it has more than 100 signatures"));
        }
        Ok(Self { text: format!("{text}\n"), signatures })
    }

    /// The keys among `known` that signed the text. Signatures by other keys say nothing.
    ///
    /// # Errors
    /// When one that names a known key is not by it.
    pub fn verify<'a>(&self, known: &'a [VerifierKey]) -> Result<Vec<&'a VerifierKey>, Error> {
        let mut by: Vec<&VerifierKey> = Vec::new();
        for signature in &self.signatures {
            let Some(key) = known.iter().find(|key| key.is_of(signature)) else { continue };
            if !key.signed(&self.text, &signature.bytes) {
                return Err(Error::Signature { name: signature.name.clone(), id: hex(signature.id) });
            }
            if !by.contains(&key) {
                by.push(key);
            }
        }
        Ok(by)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for Signature { name, id, bytes } in &self.signatures {
            writeln!(f, "{DASH}{name} {}", to_base64(&[id.as_slice(), bytes].concat()))?;
        }
        Ok(())
    }
}
