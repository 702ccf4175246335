//! A receiver of webhooks on loopback that accepts everything and remembers what it got.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use plimsoll::action::webhook::{Secret, sign};
use serde_json::Value;

/// What requests are signed with.
pub(super) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) signed: bool,
    pub(super) body: Value,
}

/// The receiver. It lives as long as the test process.
#[derive(Clone, Debug)]
pub(super) struct Receiver {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Receiver {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let receiver = Self { address: listener.local_addr().unwrap(), calls: Arc::default() };
        let calls = Arc::clone(&receiver.calls);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A caller that was killed leaves half a request, which counts for nothing.
                if let Some(call) = stream.ok().and_then(take) {
                    calls.lock().unwrap().push(call);
                }
            }
        });
        receiver
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/rollback", self.address)
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

fn take(mut stream: TcpStream) -> Option<Call> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    assert!(line.starts_with("POST /rollback HTTP/1.1"), "{line}");
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let (id, at) = (headers["webhook-id"].clone(), headers["webhook-timestamp"].parse().unwrap());
    let signature = sign(&Secret::new(SECRET).unwrap(), &id, at, &body);
    let call = Call {
        signed: headers["webhook-signature"] == signature,
        body: serde_json::from_slice(&body).unwrap(),
        id,
    };
    let _gone = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
    Some(call)
}
