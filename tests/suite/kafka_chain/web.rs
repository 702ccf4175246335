//! Requests of the tests themselves to the servers of the chain.

use std::time::Duration;

use serde_json::Value;

/// As whom.
#[derive(Clone, Debug)]
pub(super) enum Login {
    Nobody,
    Basic(&'static str, String),
    Bearer(String),
}

/// Status and body, null where that is no JSON; or why there is no answer.
pub(super) fn ask(
    method: &str,
    url: &str,
    login: &Login,
    body: Option<&Value>,
) -> Result<(u16, Value), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
        let mut request = client.request(method.parse().unwrap(), url);
        request = match login {
            Login::Nobody => request,
            Login::Basic(user, password) => request.basic_auth(user, Some(password)),
            Login::Bearer(token) => request.bearer_auth(token),
        };
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let reply = request.send().await.map_err(|error| format!("{method} {url}: {error}"))?;
        let status = reply.status().as_u16();
        let text = reply.text().await.map_err(|error| format!("{method} {url}: {error}"))?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    })
}

/// The body of an answer that has to be a good one.
pub(super) fn get(method: &str, url: &str, login: &Login, body: Option<&Value>) -> Value {
    let (status, value) = ask(method, url, login, body).unwrap();
    assert!((200..300).contains(&status), "{method} {url}: {status} {value}");
    value
}
