//! The servers' side of the wire, and the trap in it: at the request that it is set for, the daemon that
//! made the request is ended before, in or after it.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::super::targets::stub::{self, Seen};
use super::daemon::Daemon;
use super::story::End;
use super::worlds::{Request, Site, Worlds};

/// A reply that comes so much after the daemon was asked to stop still finds it.
const SOON: Duration = Duration::from_millis(50);
/// What arrives late does so when the next daemon has begun to look.
const LATE: Duration = Duration::from_secs(8);

/// Which request of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// The so manieth of a site, from 0.
    Of(Site, usize),
    /// The so manieth of all, from 0.
    Any(usize),
}

/// Where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    /// It has arrived, and is never taken.
    Before,
    /// It was taken; the reply does not arrive, or (where the daemon was only asked to stop) after that.
    Taken,
    /// The reply was written.
    Answered,
    /// It is taken, but only when the daemon is long gone.
    Late,
}

/// When to end the daemon.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trap {
    pub(super) which: Which,
    pub(super) point: Point,
    pub(super) end: End,
    /// How long after the reply, for `Answered`.
    pub(super) wait: Duration,
}

#[derive(Debug, Default)]
struct State {
    worlds: Worlds,
    /// All requests of all lives.
    requests: Vec<(Site, String)>,
    /// Requests of this life.
    asked: BTreeMap<Site, usize>,
    trap: Option<Trap>,
    daemon: Option<Arc<Daemon>>,
    /// Requests that are to be taken later.
    late: usize,
}

/// All servers of one story. It ends with this value.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    ended: Arc<AtomicBool>,
}

impl Server {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (state, ended) = (Arc::<Mutex<State>>::default(), Arc::<AtomicBool>::default());
        let (shared, end) = (Arc::clone(&state), Arc::clone(&ended));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if end.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || answer(&shared, stream));
            }
        });
        Self { address, state, ended }
    }

    pub(super) fn url(&self, site: Site) -> String {
        format!("http://{}/{}", self.address, site.name())
    }

    /// Sets the trap for the next life, which is that of `daemon` once it is told.
    pub(super) fn arm(&self, trap: Option<Trap>) {
        let mut state = self.state.lock().unwrap();
        (state.trap, state.asked) = (trap, BTreeMap::new());
        state.daemon = None;
    }

    /// Says which daemon the trap is for. It makes no request before it has read Kafka.
    pub(super) fn is_for(&self, daemon: &Arc<Daemon>) {
        self.state.lock().unwrap().daemon = Some(Arc::clone(daemon));
    }

    /// Whether the trap is still set.
    pub(super) fn armed(&self) -> bool {
        self.state.lock().unwrap().trap.is_some()
    }

    /// Whether a request is still to be taken.
    pub(super) fn is_late(&self) -> bool {
        self.state.lock().unwrap().late > 0
    }

    /// A person moves the alias to a third version.
    pub(super) fn promote(&self) {
        self.state.lock().unwrap().worlds.alias = 3;
    }

    /// What was asked and done.
    pub(super) fn end(self) -> (Worlds, Vec<(Site, String)>) {
        let mut state = self.state.lock().unwrap();
        (std::mem::take(&mut state.worlds), std::mem::take(&mut state.requests))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

fn answer(state: &Mutex<State>, mut stream: TcpStream) {
    // A daemon that was killed leaves half a request, which counts for nothing.
    let Some(request) = read(&stream) else { return };
    let take = || state.lock().unwrap().worlds.take(&request);
    let sprung = note(state, &request);
    let Some((Trap { point, end, wait, .. }, daemon)) = sprung else {
        return reply(&mut stream, take());
    };
    let finish = || match end {
        End::Kill => daemon.kill(),
        End::Terminate => daemon.ask_to_stop(),
    };
    match point {
        Point::Before => {
            finish();
            // Nobody is told that the request was lost.
            let _status = daemon.wait();
        }
        Point::Taken => {
            let taken = take();
            finish();
            std::thread::sleep(SOON);
            reply(&mut stream, taken);
        }
        Point::Answered => {
            reply(&mut stream, take());
            std::thread::sleep(wait);
            finish();
        }
        Point::Late => {
            state.lock().unwrap().late += 1;
            finish();
            std::thread::sleep(LATE);
            take();
            state.lock().unwrap().late -= 1;
        }
    }
}

/// Writes down what was asked, and says whether the trap is for it.
fn note(state: &Mutex<State>, request: &Request) -> Option<(Trap, Arc<Daemon>)> {
    let mut state = state.lock().unwrap();
    let what = request.what();
    if what == Site::Github.effect() {
        state.worlds.dispatches += 1;
    }
    state.requests.push((request.site, what));
    let before: usize = state.asked.values().sum();
    let of_site = state.asked.entry(request.site).or_default();
    let index = *of_site;
    *of_site += 1;
    let is_for = |trap: &mut Trap| match trap.which {
        Which::Of(site, number) => (site, number) == (request.site, index),
        Which::Any(number) => number == before,
    };
    let daemon = state.daemon.clone()?;
    let trap = state.trap.take_if(is_for)?;
    Some((trap, daemon))
}

fn reply(stream: &mut TcpStream, (status, body): (u16, Value)) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let length = if status == 204 { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let text = format!("HTTP/1.1 {status} Whatever\r\nconnection: close\r\n{length}\r\n{body}");
    // Whoever has gone meanwhile hears nothing.
    let _gone = stream.write_all(text.as_bytes());
}

fn read(stream: &TcpStream) -> Option<Request> {
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let Seen { method, path, headers, body } = stub::read(&mut BufReader::new(stream))?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let mut path = path.split('?').next()?.split('/').skip(1).map(str::to_owned);
    let site = Site::named(&path.next()?)?;
    Some(Request { site, method, path: path.collect(), headers, body })
}
