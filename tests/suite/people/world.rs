//! A server with tokens, a picture that a test paints, and a sink that keeps what it is given.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use plimsoll::api::commands::NotDurable;
use plimsoll::api::{self, Access, Anonymous, Commands, Readiness, Services, access};
use plimsoll::engine::view::{ActionView, View};
use plimsoll::safety::{Command, Role};
use plimsoll::telemetry::Telemetry;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;

use crate::metrics;

/// Wall time in this world: a second and a half after the newest window of the view.
pub(crate) const NOW: i64 = 1_795_341_601_500;

/// A token and its holder.
pub(crate) struct Token {
    pub(crate) name: &'static str,
    pub(crate) text: String,
    role: Role,
}

impl Token {
    pub(crate) fn new(name: &'static str, role: Role) -> Self {
        Self { name, text: access::Drawn::new().unwrap().expose().to_owned(), role }
    }

    pub(crate) fn header(&self) -> String {
        format!("Authorization: Bearer {}\r\n", self.text)
    }

    pub(crate) fn basic(&self) -> String {
        let text = base64::engine::general_purpose::STANDARD.encode(format!("anybody:{}", self.text));
        format!("Authorization: Basic {text}\r\n")
    }

    pub(crate) fn configured(&self) -> access::Token {
        access::Token { name: self.name.into(), role: self.role, sha256: access::digest(&self.text) }
    }
}

/// 64 times the same digit, as a hash.
pub(crate) fn hash(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

/// An action that waits for approval.
pub(crate) fn action(id: &str) -> ActionView {
    ActionView {
        id: id.to_owned(),
        state: "awaiting_approval".to_owned(),
        evidence: Some(hash('1')),
        expires_at: Some(NOW + 60_000),
        ..metrics::view().actions.remove(0)
    }
}

pub(crate) struct World {
    pub(crate) telemetry: Telemetry,
    pub(crate) access: Access,
    pub(crate) viewer: Token,
    pub(crate) operator: Token,
    pub(crate) approver: Token,
    pub(crate) commands: Commands,
    delivered: Arc<Mutex<Vec<Command>>>,
}

impl World {
    pub(crate) fn new() -> Self {
        let telemetry = Telemetry::new("0.1.0", "abc1234");
        telemetry.publish(Arc::new(metrics::view()));
        let (viewer, operator) = (Token::new("alice", Role::Viewer), Token::new("bob", Role::Operator));
        let approver = Token::new("carol", Role::Approver);
        let tokens = [&viewer, &operator, &approver].map(Token::configured).to_vec();
        let access = Access { anonymous: Anonymous::Read, tokens, insecure: false };
        let (commands, delivered) = (Commands::default(), Arc::<Mutex<Vec<Command>>>::default());
        let sink = Arc::clone(&delivered);
        commands.serve(Arc::new(move |command| {
            sink.lock().unwrap().push(command.clone());
            Ok(())
        }));
        Self { telemetry, access, viewer, operator, approver, commands, delivered }
    }

    /// This instance owns the actions.
    pub(crate) fn owns(&mut self) {
        self.telemetry.declare_roles(["act"]);
        self.telemetry.acting(true, 0);
    }

    /// Another instance owns them.
    pub(crate) fn stands_by(&mut self) {
        self.telemetry.declare_roles(["act"]);
        self.telemetry.acting(false, 0);
    }

    /// Nothing becomes durable.
    pub(crate) fn fails(&mut self) {
        self.commands = Commands::default();
        self.commands.serve(Arc::new(|_| Err(NotDurable("planted detail".into()))));
    }

    /// Nobody takes orders yet.
    pub(crate) fn has_no_sink(&mut self) {
        self.commands = Commands::default();
    }

    pub(crate) fn anonymous(&mut self, anonymous: Anonymous) {
        self.access.anonymous = anonymous;
    }

    /// Publishes the picture with a change.
    pub(crate) fn show(&self, change: impl FnOnce(&mut View)) {
        let mut view = (*self.telemetry.view()).clone();
        change(&mut view);
        self.telemetry.publish(Arc::new(view));
    }

    pub(crate) fn delivered(&self) -> Vec<Command> {
        self.delivered.lock().unwrap().clone()
    }

    pub(crate) fn services(&self) -> Services {
        Services {
            access: self.access.clone(),
            commands: self.commands.clone(),
            clock: Arc::new(|| NOW),
            ..Services::default()
        }
    }

    pub(crate) async fn serve(&self) -> Server {
        self.serve_with(self.services()).await
    }

    #[expect(clippy::unused_async, reason = "it needs a runtime to spawn on")]
    pub(crate) async fn serve_with(&self, services: Services) -> Server {
        let listener = api::bind(&api::Config { listen: "127.0.0.1:0".parse().unwrap() }).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            let _ = stopped.await;
        };
        tokio::spawn(api::serve_with(
            listener,
            self.telemetry.clone(),
            Readiness::new([]),
            services,
            shutdown,
        ));
        Server { address, _stop: stop }
    }
}

/// Ends when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Server {
    /// `headers` are lines, each with its end.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let (host, length) = (self.address, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        let mut stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        // A server that refuses a long body may close before all of it is read.
        let _reset = stream.read_to_end(&mut bytes).await;
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub(crate) async fn get(&self, path: &str, token: Option<&Token>) -> Answer {
        self.send("GET", path, &token.map(Token::header).unwrap_or_default(), "").await
    }

    pub(crate) async fn post(&self, path: &str, token: Option<&Token>, body: &str) -> Answer {
        let headers =
            format!("Content-Type: application/json\r\n{}", token.map(Token::header).unwrap_or_default());
        self.send("POST", path, &headers, body).await
    }

    pub(crate) async fn order(&self, token: Option<&Token>, body: &str) -> Answer {
        self.post("/api/v1/commands", token, body).await
    }
}
