//! What a receiver of webhooks sees of an action, on loopback, through the actor and the executor.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plimsoll::action::webhook::{self, Secret, sign};
use plimsoll::action::{Clock, DryRun, Executor, Target, Webhook};
use plimsoll::domain::DecisionKind;
use plimsoll::engine::actor::entry::{Body, Ended};
use plimsoll::engine::actor::{Actor, Call, CallFinished, Effect, Entry, Input};
use plimsoll::safety::{ActionKind, Idempotency, Reply as Answer, Step};

use super::{DEADLINE, config, decision, spec};

/// How the stub answers one request.
enum Reply {
    /// These bytes.
    Bytes(&'static str),
    /// Nothing: it takes the request and closes.
    Lost,
    /// Nothing for this long.
    Slow(Duration),
    /// A 200 whose body does not end by itself.
    Endless,
}

const OK: Reply = Reply::Bytes("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");

/// One request as the stub saw it.
#[derive(Clone, Debug)]
struct Seen {
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// A receiver on loopback that gives its replies in order and then answers no more.
struct Stub {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Stub {
    fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let requests = Arc::clone(&seen);
        std::thread::spawn(move || {
            for reply in replies {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut headers = BTreeMap::new();
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                assert!(line.starts_with("POST /hook HTTP/1.1"), "{line}");
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    let Some((name, value)) = line.trim_end().split_once(": ") else { break };
                    headers.insert(name.to_lowercase(), value.to_owned());
                }
                let mut body = vec![0; headers["content-length"].parse().unwrap()];
                reader.read_exact(&mut body).unwrap();
                requests.lock().unwrap().push(Seen { headers, body });
                match reply {
                    Reply::Bytes(bytes) => stream.write_all(bytes.as_bytes()).unwrap(),
                    Reply::Lost => {}
                    Reply::Slow(wait) => {
                        std::thread::spawn(move || {
                            std::thread::sleep(wait);
                            drop(stream);
                        });
                    }
                    Reply::Endless => {
                        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                        while stream.write_all(&[b'x'; 4096]).is_ok() {}
                    }
                }
            }
        });
        Self { address, seen }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

const SECRETS: [&str; 2] =
    ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"];

fn secrets() -> Vec<Secret> {
    SECRETS.map(|text| Secret::new(text).unwrap()).to_vec()
}

/// Violates a policy whose rollback goes to `address`, and runs actor and executor until the action
/// has ended. The clock jumps from one due time to the next. Returns how it ended.
fn roll_back(address: SocketAddr, timeout: Duration) -> Ended {
    roll_back_at(format!("http://{address}/hook"), None, timeout)
}

fn roll_back_at(url: String, ca_file: Option<PathBuf>, timeout: Duration) -> Ended {
    let millis = Arc::new(AtomicI64::new(1_795_341_600_000));
    let clock: Clock = {
        let millis = Arc::clone(&millis);
        Arc::new(move || millis.load(Ordering::SeqCst))
    };
    let receiver = webhook::Config { url, secrets: secrets(), ca_file, timeout };
    let target = Webhook::new(&receiver, Arc::clone(&clock)).unwrap();
    let mut config = config();
    config.actions = vec![spec("back", ActionKind::Rollback, target.name(), target.idempotency())];
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (results, mut ends) = tokio::sync::mpsc::channel(16);
    let targets: BTreeMap<String, Arc<dyn Target>> =
        BTreeMap::from([("back".to_owned(), Arc::new(target) as Arc<dyn Target>)]);
    let mut executor = Executor::new(targets, Arc::clone(&clock), runtime.handle().clone(), results);

    let mut pending = 0;
    let (mut actor, _) = Actor::restore(config, vec![], clock()).unwrap();
    actor.begin(clock());
    let mut inputs = vec![
        Input::Decision(decision(DecisionKind::Violated, "p0", "m0", "v2", 2)),
        Input::Decision(decision(DecisionKind::Qualified, "p0", "m0", "v1", 1)),
    ];
    loop {
        let input = match inputs.pop() {
            Some(input) => input,
            None if pending > 0 => {
                pending -= 1;
                let end = runtime
                    .block_on(async { tokio::time::timeout(Duration::from_secs(20), ends.recv()).await });
                Input::CallFinished(end.expect("the call ends").expect("the executor lives"))
            }
            None => {
                millis.store(actor.due().expect("the action waits for something"), Ordering::SeqCst);
                Input::Tick
            }
        };
        for effect in actor.handle(input, clock()) {
            match effect {
                Effect::Call(call) => {
                    pending += 1;
                    executor.submit(call);
                }
                Effect::Audit(Entry { body: Body::Outcome { outcome, .. }, .. }) => return outcome,
                Effect::Audit(_)
                | Effect::Changed(_)
                | Effect::Recalled(_)
                | Effect::Ordered(_)
                | Effect::RecalledOrder(_) => {}
            }
        }
    }
}

const PATIENT: Duration = Duration::from_secs(10);

/// That a repeated request has the same id and body, a signature of its own time, and both secrets.
fn check_signed(seen: &[Seen]) {
    for Seen { headers, body } in seen {
        assert_eq!(headers["webhook-id"], seen[0].headers["webhook-id"]);
        assert_eq!(*body, seen[0].body);
        assert_eq!(headers["content-type"], "application/json");
        assert!(headers["user-agent"].starts_with("plimsoll/"));
        let timestamp = headers["webhook-timestamp"].parse().unwrap();
        let expected: Vec<String> =
            secrets().iter().map(|secret| sign(secret, &headers["webhook-id"], timestamp, body)).collect();
        assert_eq!(headers["webhook-signature"], expected.join(" "));
        let payload: serde_json::Value = serde_json::from_slice(body).unwrap();
        assert_eq!(payload["id"], headers["webhook-id"].as_str());
        assert_eq!(payload["data"]["to_version"], "v1");
    }
}

fn time_of(seen: &Seen) -> i64 {
    seen.headers["webhook-timestamp"].parse().unwrap()
}

#[test]
fn a_receiver_gets_one_signed_request() {
    let stub = Stub::start(vec![OK]);
    let end = roll_back(stub.address, PATIENT);
    assert!(
        matches!(&end, Ended::Applied { attempts: 1, detail, .. } if detail == "the receiver stored it: HTTP 200"),
        "{end:?}"
    );
    let seen = stub.seen();
    assert_eq!((seen.len(), time_of(&seen[0])), (1, 1_795_341_600));
    check_signed(&seen);
}

#[test]
fn a_lost_or_late_reply_and_a_server_error_are_followed_by_the_same_request() {
    let error = Reply::Bytes("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n");
    let slow = Reply::Slow(Duration::from_millis(600));
    for (first, timeout) in [(Reply::Lost, PATIENT), (error, PATIENT), (slow, Duration::from_millis(300))] {
        let stub = Stub::start(vec![first, OK]);
        let end = roll_back(stub.address, timeout);
        assert!(matches!(end, Ended::Applied { attempts: 2, .. }), "{end:?}");
        let seen = stub.seen();
        assert_eq!(seen.len(), 2);
        check_signed(&seen);
    }
}

#[test]
fn a_receiver_that_asks_for_time_is_given_it() {
    let busy = Reply::Bytes("HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n");
    let stub = Stub::start(vec![busy, OK]);
    let end = roll_back(stub.address, PATIENT);
    assert!(matches!(end, Ended::Applied { attempts: 2, .. }), "{end:?}");
    let seen = stub.seen();
    assert_eq!(time_of(&seen[1]) - time_of(&seen[0]), 7);

    let busy =
        Reply::Bytes("HTTP/1.1 429 Too Many Requests\r\nretry-after: 3600\r\ncontent-length: 0\r\n\r\n");
    let stub = Stub::start(vec![busy]);
    let end = roll_back(stub.address, PATIENT);
    assert!(matches!(&end, Ended::Failed { attempts: 1, detail } if detail.contains("HTTP 429")), "{end:?}");
}

#[test]
fn a_redirect_is_a_failure_and_is_not_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let location = format!(
        "HTTP/1.1 302 Found\r\nlocation: http://{}/hook\r\ncontent-length: 0\r\n\r\n",
        elsewhere.local_addr().unwrap()
    );
    let stub = Stub::start(vec![Reply::Bytes(location.leak())]);
    let end = roll_back(stub.address, PATIENT);
    assert!(matches!(&end, Ended::Failed { attempts: 1, detail } if detail.contains("HTTP 302")), "{end:?}");
    assert_eq!(elsewhere.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_receiver_that_is_gone_says_so_at_once() {
    let stub = Stub::start(vec![Reply::Bytes("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n")]);
    let end = roll_back(stub.address, PATIENT);
    assert!(matches!(&end, Ended::Failed { attempts: 1, detail } if detail.contains("disabled")), "{end:?}");
}

#[test]
fn a_refused_connection_fails_at_the_deadline_and_leaves_no_doubt() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let end = roll_back(address, PATIENT);
    let Ended::Failed { attempts, detail } = &end else { panic!("{end:?}") };
    assert!(*attempts > 4 && detail.contains("deadline"), "{end:?}");
}

#[test]
fn replies_lost_up_to_the_deadline_are_left_to_a_person() {
    let stub = Stub::start((0..20).map(|_| Reply::Lost).collect());
    let end = roll_back(stub.address, PATIENT);
    let Ended::NeedsHuman { attempts, detail } = &end else { panic!("{end:?}") };
    assert!(*attempts > 4 && detail.contains("a person has to look"), "{end:?}");
    let seen = stub.seen();
    assert_eq!(seen.len(), *attempts as usize);
    assert!(time_of(&seen[seen.len() - 1]) - time_of(&seen[0]) < DEADLINE / 1000);
    check_signed(&seen);
}

#[test]
fn a_reply_without_an_end_is_not_read_to_it() {
    let stub = Stub::start(vec![Reply::Endless]);
    let end = roll_back(stub.address, PATIENT);
    assert!(matches!(end, Ended::Applied { attempts: 1, .. }), "{end:?}");
}

/// Answers every request over TLS with 200; prints its port first.
const TLS_STUB: &str = r#"
import http.server, ssl
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200); self.send_header("content-length", "0"); self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("server.pem", "server.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

/// A process that does not outlive its test.
struct Stopped(std::process::Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).expect("our own child can be stopped");
    }
}

/// An authority in `ca.pem`, and a certificate of it for 127.0.0.1, in `folder`.
fn certificates(folder: &Path) -> bool {
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1").unwrap();
    let commands = [
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem",
        "req -newkey rsa:2048 -nodes -subj /CN=receiver -keyout server.key -out server.csr",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem",
    ];
    commands.iter().all(|command| {
        let ran = Command::new("openssl")
            .args(command.split(' '))
            .current_dir(folder)
            .stderr(Stdio::null())
            .status();
        ran.is_ok_and(|status| status.success())
    })
}

#[test]
fn a_private_authority_is_trusted_where_it_is_named_and_not_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let mut python = Command::new("python3");
        python.args(["-c", TLS_STUB]).current_dir(folder.path()).stdout(Stdio::piped()).spawn()
    };
    let server = certificates(folder.path()).then(start);
    let Some(Ok(server)) = server else {
        eprintln!("SKIPPED: openssl or python3 is missing here, so no webhook was sent over TLS");
        return;
    };
    let mut server = Stopped(server);
    let mut port = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let url = format!("https://127.0.0.1:{}/hook", port.trim());
    let trusted = roll_back_at(url.clone(), Some(folder.path().join("ca.pem")), PATIENT);
    let unknown = roll_back_at(url.clone(), None, PATIENT);
    let misnamed =
        roll_back_at(url.replace("127.0.0.1", "localhost"), Some(folder.path().join("ca.pem")), PATIENT);
    drop(server);
    assert!(matches!(trusted, Ended::Applied { attempts: 1, .. }), "{trusted:?}");
    for refused in [unknown, misnamed] {
        assert!(
            matches!(&refused, Ended::Failed { detail, .. } if detail.contains("certificate")),
            "{refused:?}"
        );
    }
}

/// A target that panics, which no adapter should.
#[derive(Debug)]
struct Broken;

impl Target for Broken {
    fn name(&self) -> &str {
        "broken"
    }

    fn idempotency(&self) -> Idempotency {
        Idempotency::Keyed
    }

    fn submit<'a>(&'a self, call: &'a Call) -> futures::future::BoxFuture<'a, Answer> {
        Box::pin(async move { panic!("attempt {}", call.attempt) })
    }
}

#[test]
fn every_call_is_reported_whatever_becomes_of_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (results, mut ends) = tokio::sync::mpsc::channel(16);
    let targets: BTreeMap<String, Arc<dyn Target>> = BTreeMap::from([
        ("rehearse".to_owned(), Arc::new(DryRun) as Arc<dyn Target>),
        ("broken".to_owned(), Arc::new(Broken) as Arc<dyn Target>),
    ]);
    let mut executor = Executor::new(targets, Arc::new(|| 1_000), runtime.handle().clone(), results);
    let payload = serde_json::json!({
        "type": "plimsoll.rollback.requested",
        "data": {"model": "credit", "version": "v2", "to_version": "v1"},
    });
    let mut call = |action: &str, deadline| {
        let (action_id, payload) = (format!("{action}-{deadline}"), payload.clone());
        executor.submit(Call {
            action_id,
            attempt: 1,
            step: Step::Submit,
            action: action.into(),
            payload,
            deadline,
        });
    };
    call("rehearse", 2_000);
    call("rehearse", 1_000);
    call("broken", 2_000);
    call("absent", 2_000);
    assert_eq!(runtime.block_on(executor.drain(Duration::from_secs(10))), 0);
    let mut results = BTreeMap::new();
    while let Ok(CallFinished { action_id, attempt: 1, result }) = ends.try_recv() {
        results.insert(action_id, result);
    }
    let retry = |why: &str, doubt| Answer::Retry { why: why.into(), doubt, retry_after: None };
    let expected = [
        ("absent-2000", Answer::Rejected { why: "no target is configured for the action".into() }),
        ("broken-2000", retry("the adapter of the target panicked", true)),
        ("rehearse-1000", retry("the deadline had passed before the call began", false)),
        (
            "rehearse-2000",
            Answer::Accepted {
                reference: None,
                detail: "dry run: would roll credit back from v2 to v1".into(),
                done: true,
            },
        ),
    ];
    assert_eq!(results, expected.map(|(id, result)| (id.to_owned(), result)).into());
}
