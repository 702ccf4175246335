//! A receiver of webhooks on loopback that remembers every call with its key, and which process made
//! it: instances of one configuration call one address, and say nothing of themselves. It can hold its
//! answers back, so that a call is begun and not ended.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::super::targets::stub::{self, Seen};

/// What requests are signed with.
pub(super) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// A held answer is looked at again after this.
const TICK: Duration = Duration::from_millis(20);

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// Its key: the same in every attempt at the same action.
    pub(super) key: String,
    pub(super) body: Value,
    /// The process that called, while it was there.
    pub(super) caller: Option<u32>,
}

/// The receiver. It lives as long as the test process.
#[derive(Clone, Debug)]
pub(super) struct Receiver {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
    held: Arc<AtomicBool>,
}

impl Receiver {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let receiver = Self { address, calls: Arc::default(), held: Arc::default() };
        let shared = receiver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || shared.answer(stream));
            }
        });
        receiver
    }

    /// Its address.
    pub(super) fn url(&self) -> String {
        format!("http://{}/rollback", self.address)
    }

    /// Holds answers back, or lets them go.
    pub(super) fn hold(&self, held: bool) {
        self.held.store(held, Ordering::SeqCst);
    }

    /// All calls so far, in order of their arrival.
    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    fn answer(&self, mut stream: TcpStream) {
        // A caller that was killed leaves half a request, which counts for nothing.
        let Some(call) = take(&stream) else { return };
        self.calls.lock().unwrap().push(call);
        while self.held.load(Ordering::SeqCst) {
            std::thread::sleep(TICK);
        }
        let _gone = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
    }
}

fn take(stream: &TcpStream) -> Option<Call> {
    let caller = process_at(stream.peer_addr().ok()?.port(), stream.local_addr().ok()?.port());
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let Seen { headers, body, .. } = stub::read(&mut BufReader::new(stream))?;
    let key = headers.get("webhook-id")?.clone();
    Some(Call { key, body: serde_json::from_slice(&body).ok()?, caller })
}

/// The process that holds the loopback connection from one port to the other. A port of the one end may
/// be in use towards others too.
fn process_at(from: u16, to: u16) -> Option<u32> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    // Columns: number, local and remote address, state, queues, timers, retransmissions, user, timeout, inode.
    let inode = table.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let ends = |column: usize, port: u16| columns[column].ends_with(&format!(":{port:04X}"));
        (columns.len() > 9 && ends(1, from) && ends(2, to)).then(|| columns[9])
    })?;
    let socket = format!("socket:[{inode}]");
    let holds = |process: &u32| {
        let files = std::fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
        files.filter_map(|file| std::fs::read_link(file.path()).ok()).any(|to| to.as_os_str() == &*socket)
    };
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(holds)
}
