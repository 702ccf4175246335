//! A receiver of webhooks on loopback that accepts everything and remembers what it got.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use plimsoll::action::webhook::{Secret, sign};
use serde_json::Value;

use super::super::targets::stub::{self, Seen};

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
    let Seen { method, path, headers, body } = stub::read(&mut BufReader::new(&stream))?;
    assert_eq!((method.as_str(), path.as_str()), ("POST", "/rollback"));
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
