//! Reading a signing key from what a person has: the note format, or PEM as `openssl genpkey -algorithm
//! ed25519` writes it.

use openssl::pkey::{Id, PKey};

use super::tlog::{self, Algorithm, SignerKey};

/// The key in `text` for the log called `origin`.
///
/// # Errors
/// When it is not an Ed25519 key, or one of another log. What is wrong is told without the key.
pub fn signer(text: &str, origin: &str) -> Result<SignerKey, tlog::Error> {
    use tlog::Error::Key;
    if text.starts_with("PRIVATE+KEY+") {
        let key = SignerKey::parse(text)?;
        return match (key.verifier().algorithm(), key.name() == origin) {
            (Algorithm::Cosignature, _) => Err(Key("it is a key of a witness, and not of a log")),
            (Algorithm::Ed25519, false) => Err(Key("it is of a log with another name than `audit.origin`")),
            (Algorithm::Ed25519, true) => Ok(key),
        };
    }
    // With a passphrase given, the library does not ask for one on the terminal.
    let key = PKey::private_key_from_pem_passphrase(text.as_bytes(), b"")
        .map_err(|_| Key("it is neither PRIVATE+KEY+... nor an unencrypted private key in PEM"))?;
    if key.id() != Id::ED25519 {
        return Err(Key("it is not an Ed25519 key"));
    }
    let seed = key.raw_private_key().map_err(|_| Key("its secret cannot be read"))?;
    let seed = <[u8; 32]>::try_from(seed.as_slice()).map_err(|_| Key("its secret is not 32 bytes"))?;
    SignerKey::new(origin, Algorithm::Ed25519, &seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 8410, section 10.3.
    const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----";

    #[test]
    fn keys_are_read_as_openssl_and_as_the_note_format_write_them() {
        let key = signer(PEM, "log.example").unwrap();
        // Its public key, as OpenSSL and Python's `cryptography` derive it too, after the byte for Ed25519.
        assert!(
            key.verifier().to_string().ends_with("+ARm/RAlphM3+hUG6wWfcO5bIUIaqMLa2ywxcOK1wMWbh"),
            "{key:?}"
        );
        assert_eq!(signer(&key.expose(), "log.example").unwrap(), key);
        let other = signer(&key.expose(), "other.example").unwrap_err();
        assert!(other.to_string().contains("another name"), "{other}");
        let witness = SignerKey::new("log.example", Algorithm::Cosignature, &[1; 32]).unwrap();
        assert!(signer(&witness.expose(), "log.example").unwrap_err().to_string().contains("witness"));
    }

    #[test]
    fn what_is_no_ed25519_key_is_refused_without_being_shown() {
        let x25519 = PKey::generate_x25519().unwrap().private_key_to_pem_pkcs8().unwrap();
        let x25519 = String::from_utf8(x25519).unwrap();
        let cipher = openssl::symm::Cipher::aes_128_cbc();
        let ed25519 = PKey::generate_ed25519().unwrap();
        let closed = ed25519.private_key_to_pem_pkcs8_passphrase(cipher, b"hunter2").unwrap();
        let closed = String::from_utf8(closed).unwrap();
        for wrong in [x25519.as_str(), closed.as_str(), "hunter2", "PRIVATE+KEY+hunter2", &PEM[..80]] {
            let error = signer(wrong, "log.example").unwrap_err().to_string();
            assert!(!error.contains("hunter2") && !error.contains("MC4C"), "{error}");
        }
    }
}
