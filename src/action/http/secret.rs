//! Secrets of targets: how they are kept out of sight, how they are sent, and how they are cut out of
//! what a target says, because error pages like to repeat the request they complain about.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::RequestBuilder;

/// What stands for a secret.
const MASK: &str = "***";
/// How much of what a target says is kept, in characters.
const WORDS: usize = 200;
/// How many of the tokens that a target has given are kept out of its words.
const GIVEN: usize = 8;

/// A token or a password. Whatever prints it prints stars.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<str>);

impl Token {
    /// A secret with the value `text`.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The secret itself. Whoever calls this keeps it out of logs, errors and answers.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// How a client logs in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Not at all, or in another way than by the header `authorization`.
    #[default]
    None,
    /// With a token (RFC 6750).
    Bearer(Token),
    /// With a user name and a password (RFC 7617).
    Basic {
        /// The user.
        username: String,
        /// The password, or an API token in its place.
        password: Token,
    },
}

impl Auth {
    /// `request` with the login. A token that cannot be in a header makes the request fail when it is sent.
    pub fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::None => request,
            Self::Bearer(token) => request.bearer_auth(token.expose()),
            Self::Basic { username, password } => request.basic_auth(username, Some(password.expose())),
        }
    }
}

/// What must not be shown of what a target says: each secret in the spellings in which it may be
/// repeated, the longest first, so that no rest of one stays.
pub(in crate::action) struct Hidden {
    configured: Vec<String>,
    /// Those of secrets that the target gave us, the newest last.
    given: Mutex<VecDeque<Vec<String>>>,
}

impl Hidden {
    /// The secrets of `auth` and `further` ones.
    pub(in crate::action) fn new(auth: &Auth, further: &[Token]) -> Self {
        let mut configured: Vec<String> = further.iter().flat_map(spellings).collect();
        match auth {
            Auth::None => {}
            Auth::Bearer(token) => configured.extend(spellings(token)),
            Auth::Basic { username, password } => {
                configured.extend(spellings(password));
                configured.push(STANDARD.encode(format!("{username}:{}", password.expose())));
            }
        }
        configured.sort_by_key(|spelling| Reverse(spelling.len()));
        Self { configured, given: Mutex::default() }
    }

    /// One more secret, which the target has given; of these the newest are remembered.
    pub(in crate::action) fn add(&self, token: &Token) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if given.len() == GIVEN {
            given.pop_front();
        }
        given.push_back(spellings(token));
    }

    /// `words` without secrets, control characters and runs of blanks, at most 200 characters.
    pub(in crate::action) fn clean(&self, words: &str) -> String {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let mask = |mut text: String| {
            for secret in self.configured.iter().chain(given.iter().flatten()) {
                if text.contains(secret.as_str()) {
                    text = text.replace(secret.as_str(), MASK);
                }
            }
            text
        };
        // Before and after the control characters are gone: a secret may hold some, or be broken by some.
        let masked = mask(words.to_owned());
        let visible: String = masked.chars().filter(|c| !is_invisible(*c) || c.is_whitespace()).collect();
        let joined = visible.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = mask(joined);
        match text.char_indices().nth(WORDS) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }
}

/// The secret as it is, and as JSON, a form or base64 would repeat it; none where it is blank.
fn spellings(token: &Token) -> Vec<String> {
    let plain = token.expose();
    if plain.trim().is_empty() {
        return Vec::new();
    }
    let quoted = serde_json::Value::from(plain).to_string();
    let json = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(&quoted);
    let mut all = vec![plain.to_owned(), json.to_owned(), url_form(plain), STANDARD.encode(plain)];
    all.sort_by_key(|spelling| Reverse(spelling.len()));
    all.dedup();
    all
}

/// Characters that would not be seen, or would turn round those that are.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// `text` as in a query or a form.
fn url_form(text: &str) -> String {
    let mut url = reqwest::Url::parse("http://x/").expect("a constant address can be read");
    url.query_pairs_mut().append_pair("x", text);
    url.query().unwrap_or_default().trim_start_matches("x=").to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tokens_are_shown_as_stars() {
        let basic = Auth::Basic { username: "plimsoll".into(), password: Token::new("hunter2") };
        let shown =
            format!("{:?} {:?} {basic:?}", Token::new("hunter2"), Auth::Bearer(Token::new("hunter2")));
        assert!(!shown.contains("hunter2") && shown.contains("plimsoll"), "{shown}");
    }

    #[test]
    fn a_secret_is_cut_out_in_every_spelling() {
        let password = "hun\"ter & 2";
        let auth = Auth::Basic { username: "plimsoll".into(), password: Token::new(password) };
        let hidden = Hidden::new(&auth, &[Token::new("second")]);
        let sent = STANDARD.encode(format!("plimsoll:{password}"));
        for said in [
            format!("wrong password {password}!"),
            r#"{"password": "hun\"ter & 2"}"#.to_owned(),
            "password=hun%22ter+%26+2&x=y".to_owned(),
            format!("authorization: Basic {sent}"),
            "the sec\u{0}ond".to_owned(),
        ] {
            let shown = hidden.clean(&said);
            let gone = ["ter", "second", sent.as_str()].iter().all(|part| !shown.contains(part));
            assert!(gone && shown.contains(MASK), "{shown}");
        }
    }

    #[test]
    fn words_are_one_short_line() {
        let hidden = Hidden::new(&Auth::None, &[Token::new("")]);
        assert_eq!(hidden.clean(" a\r\n\u{1b}[31mb\t\u{202e}c "), "a [31mb c");
        assert_eq!(hidden.clean(&"é".repeat(300)).chars().count(), 201);
    }

    proptest! {
        #[test]
        fn whatever_is_said_around_it_a_secret_is_not_repeated(
            before in ".{0,300}",
            secret in "[A-Za-z0-9_.~!$&-]{8,40}",
            after in ".{0,50}",
        ) {
            let hidden = Hidden::new(&Auth::Bearer(Token::new(&secret)), &[]);
            let shown = hidden.clean(&format!("{before}{secret}{after}"));
            prop_assert!(!shown.contains(&secret));
            prop_assert!(shown.chars().count() <= 201 && !shown.contains(char::is_control));
        }
    }
}
