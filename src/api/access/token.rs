//! Bearer tokens: 32 random bytes behind a word that scanners for secrets can look for. Only the
//! SHA-256 is kept, which is enough: there is nothing to guess in 256 random bits that a slow hash
//! would have to hide.

use std::fmt;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use openssl::memcmp;
use sha2::{Digest as _, Sha256};

use crate::safety::Role;

/// What every token begins with.
const PREFIX: &str = "plimsoll_";
/// Random bytes in a token.
const BYTES: usize = 32;
/// Letters of base64 that these make.
const LETTERS: usize = 43;

/// The right of one person or program.
#[derive(Clone)]
pub struct Token {
    /// Who holds it.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

/// A token that was just drawn, to be shown once.
pub struct Drawn {
    text: String,
}

impl fmt::Debug for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Drawn {
    /// Draws one.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new() -> Result<Self, openssl::error::ErrorStack> {
        let mut bytes = [0; BYTES];
        openssl::rand::rand_bytes(&mut bytes)?;
        Ok(Self { text: format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)) })
    }

    /// The token itself. Whoever calls this shows it to its holder and to nobody else.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What the configuration holds instead: 64 hexadecimal digits.
    pub fn sha256(&self) -> String {
        digest(&self.text).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The SHA-256 that stands for a token.
pub fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// The one of `tokens` that is `presented`. It takes the same time whichever it is, or none.
pub(super) fn find<'a>(tokens: &'a [Token], presented: &str) -> Option<&'a Token> {
    let presented = digest(presented);
    tokens.iter().fold(
        None,
        |found, token| {
            if memcmp::eq(&token.sha256, &presented) { Some(token) } else { found }
        },
    )
}

/// Whether `text` holds something that has the form of a token.
pub(crate) fn is_in(text: &str) -> bool {
    text.match_indices(PREFIX).any(|(at, _)| {
        let rest = text.as_bytes().iter().skip(at + PREFIX.len());
        rest.take_while(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)).count() >= LETTERS
    })
}

/// How a caller proves who it is.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Presented {
    /// `Authorization: Bearer TOKEN`.
    Bearer(String),
    /// `Authorization: Basic`, whose password is the token; the user name says nothing.
    Basic(String),
    /// Something else.
    Unreadable,
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bearer(_) => "Bearer(***)",
            Self::Basic(_) => "Basic(***)",
            Self::Unreadable => "Unreadable",
        })
    }
}

/// What `headers` present; none where they present nothing.
pub(super) fn presented(headers: &HeaderMap) -> Option<Presented> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let value = all.next()?;
    let read = || {
        let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Presented::Bearer(rest.to_owned()));
        }
        if scheme.eq_ignore_ascii_case("basic") {
            let text = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
            return Some(Presented::Basic(text.split_once(':')?.1.to_owned()));
        }
        None
    };
    // Of two headers nobody can say which one is meant.
    Some(if all.next().is_some() { Presented::Unreadable } else { read().unwrap_or(Presented::Unreadable) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[&str]) -> Option<Presented> {
        let mut map = HeaderMap::new();
        for header in headers {
            map.append(AUTHORIZATION, header.parse().unwrap());
        }
        presented(&map)
    }

    #[test]
    fn a_drawn_token_is_found_by_its_digest_and_no_other_one_is() {
        let (alice, bob) = (Drawn::new().unwrap(), Drawn::new().unwrap());
        let token = |name: &str, drawn: &Drawn| Token {
            name: name.to_owned(),
            role: Role::Viewer,
            sha256: digest(drawn.expose()),
        };
        let tokens = [token("alice", &alice), token("bob", &bob)];
        assert_eq!(find(&tokens, alice.expose()).unwrap().name, "alice");
        assert_eq!(find(&tokens, bob.expose()).unwrap().name, "bob");
        for wrong in ["", "plimsoll_", &alice.expose()[..50], &alice.sha256()] {
            assert!(find(&tokens, wrong).is_none(), "{wrong}");
        }
        assert!(find(&[], alice.expose()).is_none());
        assert_eq!(alice.expose().len(), PREFIX.len() + LETTERS);
        let printed = format!("{alice:?} {tokens:?} {:?}", Presented::Bearer(alice.expose().to_owned()));
        assert!(!printed.contains(alice.expose()) && !printed.contains(&alice.sha256()), "{printed}");
    }

    #[test]
    fn what_has_the_form_of_a_token_is_recognised_in_a_text() {
        let token = Drawn::new().unwrap();
        assert!(is_in(token.expose()));
        assert!(is_in(&format!("because plimsoll_x and ({})", token.expose())));
        for harmless in ["", "plimsoll_audit", "plimsoll_", &token.expose()[1..]] {
            assert!(!is_in(harmless), "{harmless}");
        }
    }

    #[test]
    fn a_token_comes_as_a_bearer_or_as_the_password_of_basic() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["Bearer abc"]), Some(Presented::Bearer("abc".into())));
        assert_eq!(of(&["bearer  abc "]), Some(Presented::Bearer("abc".into())));
        let basic = format!("Basic {}", STANDARD.encode("flagger:abc:d"));
        assert_eq!(of(&[&basic]), Some(Presented::Basic("abc:d".into())));
        for wrong in [&["abc"][..], &["Basic ???"], &["Digest abc"], &["Bearer a", "Bearer b"]] {
            assert_eq!(of(wrong), Some(Presented::Unreadable), "{wrong:?}");
        }
    }
}
