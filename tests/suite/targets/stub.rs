//! A server on loopback that says what a test tells it to, over HTTP or TLS, and remembers what it was
//! asked. It answers one request a connection, as the targets' clients expect.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};
use serde_json::Value;

/// How one request is answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    /// With a status, headers and a body.
    Http {
        /// The code.
        status: u16,
        /// Beside `content-length`.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// Not at all: the request is read and the connection closed.
    Lost,
    /// Not at all: the connection stays open until the stub ends.
    Slow,
    /// With a head whose body is shorter than it says.
    Cut,
    /// With something that is no HTTP.
    Garbage,
    /// With status 200 and a body that does not end.
    Endless,
}

impl Reply {
    /// A status and an empty body.
    pub(crate) fn status(status: u16) -> Self {
        Self::Http { status, headers: vec![], body: vec![] }
    }

    /// A status and JSON.
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::Http { status, headers: vec![], body: body.to_string().into_bytes() }
    }

    /// A status and these bytes.
    pub(crate) fn body(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Http { status, headers: vec![], body: body.into() }
    }

    /// The same with a header.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        if let Self::Http { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

/// One request as the stub saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// `GET`, `POST` ...
    pub(crate) method: String,
    /// Path and query as they were sent.
    pub(crate) path: String,
    /// By their names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Seen {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Everything that was sent, as a page of errors might repeat it.
    pub(crate) fn echo(&self) -> Vec<u8> {
        let mut page = format!("you sent {} {} {:?} ", self.method, self.path, self.headers).into_bytes();
        page.extend(&self.body);
        page
    }
}

/// The server. It ends with this value.
pub(crate) struct Stub {
    address: SocketAddr,
    scheme: &'static str,
    seen: Arc<Mutex<Vec<Seen>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stub {
    /// Answers as `answer` says.
    pub(crate) fn serve(answer: impl FnMut(&Seen) -> Reply + Send + 'static) -> Self {
        Self::start(None, answer)
    }

    /// Gives `replies` in order and then none.
    pub(crate) fn script(replies: Vec<Reply>) -> Self {
        let mut replies = replies.into_iter();
        Self::serve(move |_| replies.next().unwrap_or(Reply::Lost))
    }

    /// Answers over TLS, with a certificate for 127.0.0.1 that signs itself and is written to `ca_file`.
    pub(crate) fn tls(ca_file: &Path, answer: impl FnMut(&Seen) -> Reply + Send + 'static) -> Self {
        let (certificate, key) = self_signed();
        std::fs::write(ca_file, certificate.to_pem().unwrap()).unwrap();
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        acceptor.set_private_key(&key).unwrap();
        acceptor.set_certificate(&certificate).unwrap();
        Self::start(Some(acceptor.build()), answer)
    }

    fn start(tls: Option<SslAcceptor>, mut answer: impl FnMut(&Seen) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (seen, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (requests, end) = (Arc::clone(&seen), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            let mut held: Vec<Box<dyn Send>> = Vec::new();
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                let mut handle = |request: &Seen| {
                    requests.lock().unwrap().push(request.clone());
                    answer(request)
                };
                match &tls {
                    None => held.extend(exchange(stream, &mut handle)),
                    // Who does not trust the certificate goes away.
                    Some(acceptor) => {
                        held.extend(acceptor.accept(stream).ok().and_then(|it| exchange(it, &mut handle)));
                    }
                }
            }
        });
        Self { address, scheme, seen, ended, thread: Some(thread) }
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// What it was asked.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the stub failed");
        }
    }
}

/// An address where nobody listens.
pub(crate) fn nobody() -> String {
    format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
}

/// Reads a request and answers it; gives the connection back where it has to stay open.
fn exchange<S: Read + Write + Send + 'static>(
    stream: S,
    answer: &mut dyn FnMut(&Seen) -> Reply,
) -> Option<Box<dyn Send>> {
    let mut reader = BufReader::new(stream);
    let request = read(&mut reader)?;
    let reply = answer(&request);
    let mut stream = reader.into_inner();
    let sent = match reply {
        Reply::Http { status, headers, body } => {
            let mut head = format!("HTTP/1.1 {status} Whatever\r\nconnection: close\r\n");
            if !matches!(status, 100..=199 | 204 | 304) {
                head += &format!("content-length: {}\r\n", body.len());
            }
            for (name, value) in headers {
                head += &format!("{name}: {value}\r\n");
            }
            head += "\r\n";
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body))
        }
        Reply::Lost => Ok(()),
        Reply::Slow => return Some(Box::new(stream)),
        Reply::Cut => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"a\""),
        Reply::Garbage => stream.write_all(b"220 mail.example ESMTP\r\n"),
        Reply::Endless => {
            let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while sent.is_ok() {
                sent = stream.write_all(&[b'x'; 4096]);
            }
            sent
        }
    };
    // Whoever does not wait for the reply is part of the test.
    drop(sent.and_then(|()| stream.flush()));
    None
}

/// One request as it was sent; none where the caller has gone in the middle of it.
pub(crate) fn read(reader: &mut impl BufRead) -> Option<Seen> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or(Some(0), |length| length.parse().ok())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Seen { method, path, headers, body })
}

/// A certificate for 127.0.0.1 that is its own authority.
fn self_signed() -> (X509, PKey<Private>) {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "stub").unwrap();
    let name = name.build();
    let mut serial = BigNum::new().unwrap();
    serial.rand(127, MsbOption::MAYBE_ZERO, false).unwrap();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    let names =
        SubjectAlternativeName::new().ip("127.0.0.1").build(&builder.x509v3_context(None, None)).unwrap();
    builder.append_extension(names).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    (builder.build(), key)
}
