//! Tokens that may change while everything runs: those of Kubernetes' service accounts are files that
//! are written anew about once an hour, and one that was read at start is refused a day later.

use std::path::PathBuf;

use reqwest::{Method, RequestBuilder, Url};

use crate::safety::Reply;

use super::http::{Client, Token};

/// A bearer token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// One that stays.
    Fixed(Token),
    /// The file that holds it; white space at its end is not part of it.
    File(PathBuf),
}

impl Credential {
    /// The token as it is now. Without one nothing was sent, and the file may be there again soon.
    fn now(&self) -> Result<Token, Reply> {
        let path = match self {
            Self::Fixed(token) => return Ok(token.clone()),
            Self::File(path) => path,
        };
        let failed = |wrong: &str| Reply::Retry {
            why: format!("cannot read the token in {}: {wrong}", path.display()),
            doubt: false,
            retry_after: None,
        };
        let text = std::fs::read_to_string(path).map_err(|wrong| failed(&wrong.to_string()))?;
        match text.trim_end() {
            "" => Err(failed("it is empty")),
            token => Ok(Token::new(token)),
        }
    }

    /// A request of `client` that logs in with the token as it is now.
    pub(super) fn request(&self, client: &Client, method: Method, url: Url) -> Result<RequestBuilder, Reply> {
        let token = self.now()?;
        client.hide(&token);
        Ok(client.bare(method, url).bearer_auth(token.expose()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_a_file_is_read_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let credential = Credential::File(path.clone());
        assert!(matches!(credential.now(), Err(Reply::Retry { doubt: false, .. })));
        for token in ["first\n", "second"] {
            std::fs::write(&path, token).unwrap();
            assert_eq!(credential.now().unwrap().expose(), token.trim_end());
        }
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(credential.now(), Err(Reply::Retry { doubt: false, .. })));
        assert!(!format!("{:?}", Credential::Fixed(Token::new("hunter2"))).contains("hunter2"));
    }
}
