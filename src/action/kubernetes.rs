//! The few calls of the Kubernetes API that adapters need: an object is read, and patched under the
//! condition that it is still the one that was read. A patch that names the `resourceVersion` it was
//! made for is refused with 409 where anybody has written in between, so that unlike at a registry
//! without such a thing nobody's deployment is overwritten.

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Url};
use serde_json::Value;

use crate::safety::{Reply, Suppression};

use super::http::{self, Answer, Auth, Client, Place, untouched};
use super::{Clock, Credential};

/// How much of an object is read. etcd keeps none of more than 1.5 MiB.
const OBJECT_BYTES: usize = 4 << 20;
/// How much of a list.
const LIST_BYTES: usize = 32 << 20;

/// An API server.
#[derive(Debug)]
pub(super) struct Api {
    client: Client,
    token: Credential,
}

/// What became of a patch.
#[derive(Debug)]
pub(super) enum Patched {
    /// The object as it is now.
    Is(Value),
    /// Somebody has written in between; nothing was changed. With what was said.
    Conflict(String),
    /// There is no such object, or no such part of it.
    Absent(String),
}

/// Which form a patch has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// RFC 7386.
    Merge,
    /// RFC 6902.
    Operations,
}

impl Api {
    pub(super) fn new(place: &Place, token: &Credential, clock: Clock) -> Result<Self, http::Error> {
        Ok(Self { client: Client::new(place, Auth::None, &[], clock)?, token: token.clone() })
    }

    pub(super) fn name(&self, kind: &str, details: &[&str]) -> String {
        self.client.name(kind, details)
    }

    /// Words of an object as they may be shown.
    pub(super) fn clean(&self, words: &str) -> String {
        self.client.clean(words)
    }

    /// Reads an object; none where there is none. In no case is anything changed.
    pub(super) async fn get(&self, path: &[&str]) -> Result<Option<Value>, Reply> {
        let answer = self
            .read(self.client.at(path, &[]).map_err(untouched)?, OBJECT_BYTES)
            .await
            .map_err(untouched)?;
        if answer.status() == 404 {
            return Ok(None);
        }
        object(&answer).map(Some).map_err(untouched)
    }

    /// Reads the objects of a list that have a label.
    pub(super) async fn list(&self, path: &[&str], label: &str, value: &str) -> Result<Vec<Value>, Reply> {
        let selector = format!("{label}={value}");
        let url = self.client.at(path, &[("labelSelector", &selector)]).map_err(untouched)?;
        let answer = self.read(url, LIST_BYTES).await.map_err(untouched)?;
        let list = object(&answer).map_err(untouched)?;
        let Value::Array(items) = list["items"].clone() else {
            return Err(untouched(answer.unreadable("a list")));
        };
        Ok(items)
    }

    async fn read(&self, url: Url, bytes: usize) -> Result<Answer, Reply> {
        let request = self.token.request(&self.client, Method::GET, url)?;
        self.client.ask_up_to(request, bytes).await
    }

    /// Patches an object.
    pub(super) async fn patch(&self, path: &[&str], form: Form, patch: &Value) -> Result<Patched, Reply> {
        let request = self.token.request(&self.client, Method::PATCH, self.client.at(path, &[])?)?;
        let kind = match form {
            Form::Merge => "application/merge-patch+json",
            Form::Operations => "application/json-patch+json",
        };
        let request = request.header(CONTENT_TYPE, kind).body(patch.to_string());
        let answer = self.client.ask_up_to(request, OBJECT_BYTES).await?;
        match answer.status() {
            404 => Ok(Patched::Absent(answer.said())),
            409 => Ok(Patched::Conflict(answer.said())),
            // A test of the operations that failed.
            422 if matches!(form, Form::Operations) => Ok(Patched::Conflict(answer.said())),
            _ => object(&answer).map(Patched::Is),
        }
    }
}

fn object(answer: &Answer) -> Result<Value, Reply> {
    if !answer.is_success() {
        return Err(answer.unexpected());
    }
    answer.json().filter(Value::is_object).ok_or_else(|| answer.unreadable("an object of Kubernetes"))
}

/// A member of an object as text; nothing where it is something else.
pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Where a rollback stands, as a target that holds a state sees it.
#[derive(Debug)]
pub(super) enum Standing<T> {
    /// On the bad version; what is needed to leave it.
    Bad(T),
    /// On the good version, or on the way there.
    Good(String),
    /// On neither: somebody has done something else.
    Elsewhere(String),
    /// The good version cannot be gone back to.
    NoGood(String),
    /// It does not take the request as it is set up.
    NotReady(String),
}

impl<T> Standing<T> {
    /// What stands against a rollback; none where nothing does, with what is needed for it.
    pub(super) fn against(self) -> Result<T, Reply> {
        let (reason, why) = match self {
            Self::Bad(way) => return Ok(way),
            Self::Good(why) => (Suppression::AlreadyActive, why),
            Self::Elsewhere(why) => (Suppression::Stale, why),
            Self::NoGood(why) => (Suppression::NoKnownGoodVersion, why),
            Self::NotReady(why) => (Suppression::TargetNotReady, why),
        };
        Err(Reply::Barred { reason, why })
    }
}

/// What is to be said where a patch was answered with an object that does not show it.
pub(super) fn unseen() -> Reply {
    let why = "the patch was taken, and the answer does not show it".to_owned();
    Reply::Retry { why, doubt: true, retry_after: None }
}

/// So often is what was read read anew because somebody has written in between.
pub(super) const ROUNDS: usize = 3;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::text;

    #[test]
    fn what_is_not_there_is_no_text() {
        let object = json!({"metadata": {"name": "x", "generation": 3}});
        assert_eq!(text(&object, "/metadata/name"), "x");
        for pointer in ["/metadata/generation", "/metadata/labels/version", "/status"] {
            assert_eq!(text(&object, pointer), "");
        }
    }
}
