//! The HTTP interface, asked over a loopback socket as a scraper, a probe, a program and a person
//! would ask it.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the message")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll::api::{self, Config, Readiness};
use plimsoll::domain::{EventTime, Finding};
use plimsoll::policy::Decide;
use plimsoll::telemetry::Telemetry;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::metrics;

struct Server {
    address: SocketAddr,
    readiness: Readiness,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), api::Error>>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Server {
    fn start(telemetry: Telemetry) -> Self {
        let listener = api::bind(&Config { listen: "127.0.0.1:0".parse().unwrap() }).unwrap();
        let address = listener.local_addr().unwrap();
        let readiness = Readiness::new([("kafka", "no partition is assigned yet")]);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(api::serve(listener, telemetry, readiness.clone(), async {
            let _ = stopped.await;
        }));
        Self { address, readiness, stop, task }
    }

    async fn send(&self, request: &str) -> Answer {
        let mut stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    async fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        let host = self.address;
        self.send(&format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"))
            .await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_scraper_gets_the_format_that_it_asks_for() {
    let server = Server::start(metrics::telemetry());
    let plain = server.get("/metrics").await;
    assert_eq!(plain.status, 200);
    assert!(plain.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{}", plain.head);
    assert!(plain.body.contains("\nplimsoll_findings_total 5\n"));
    let open = server.ask("GET", "/metrics", "Accept: application/openmetrics-text;version=1.0.0\r\n").await;
    assert!(open.head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(open.body.ends_with("# EOF\n"));
    server.end().await;
}

#[tokio::test]
async fn a_probe_learns_that_the_process_lives_and_why_it_is_not_ready() {
    let server = Server::start(metrics::telemetry());
    assert_eq!(server.get("/healthz").await.status, 200);
    let waiting = server.get("/readyz").await;
    assert_eq!(waiting.status, 503);
    assert_eq!(
        waiting.json(),
        serde_json::json!({
            "ready": false,
            "reasons": [{ "condition": "kafka", "reason": "no partition is assigned yet" }],
        })
    );
    server.readiness.met("kafka");
    let ready = server.get("/readyz").await;
    assert_eq!((ready.status, ready.json()["ready"].as_bool()), (200, Some(true)));
    server.readiness.unmet("kafka", "the brokers are gone");
    assert!(server.get("/readyz").await.body.contains("the brokers are gone"));
    server.end().await;
}

#[tokio::test]
async fn findings_over_http_are_the_findings_of_the_domain() {
    let server = Server::start(metrics::telemetry());
    let answer = server.get("/api/v1/findings?latest=true&metric=psi&segment=all").await;
    assert_eq!(answer.status, 200);
    let found: Vec<Finding> = serde_json::from_value(answer.json()["findings"].clone()).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0], *metrics::view().latest[0]);
    server.end().await;
}

#[tokio::test]
async fn findings_are_filtered_and_come_newest_first() {
    let mut view = metrics::view();
    for (minutes, version) in [(1, "2"), (2, "3")] {
        let mut finding = (*view.latest[0]).clone();
        finding.window.end = finding.window.end + Duration::from_secs(60 * minutes);
        finding.version = version.into();
        view.recent.push(Arc::new(finding));
    }
    let telemetry = Telemetry::new("0.1.0", "abc1234");
    telemetry.publish(Arc::new(view));
    let server = Server::start(telemetry);
    for (query, count) in [
        ("", 7),
        ("?limit=2", 2),
        ("?model=credit", 7),
        ("?model=other", 0),
        ("?version=3", 1),
        ("?check=psi", 5),
        ("?metric=selection_rate_ratio", 1),
        ("?verdict=breach", 3),
        ("?verdict=insufficient", 1),
        ("?verdict=none", 2),
        ("?segment=channel%3Dweb", 1),
        ("?segment=all", 6),
        ("?since=2026-11-22T10:01:00Z", 2),
        ("?tenant=bank-b", 0),
        ("?latest=true", 5),
    ] {
        let answer = server.get(&format!("/api/v1/findings{query}")).await;
        assert_eq!(answer.json()["findings"].as_array().unwrap().len(), count, "{query}");
    }
    let all = server.get("/api/v1/findings").await.json();
    let ends: Vec<EventTime> = all["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["window"]["end"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(ends.is_sorted_by(|a, b| a >= b) && ends[0] > ends[6], "{ends:?}");
    server.end().await;
}

#[tokio::test]
async fn models_decisions_actions_and_status_show_the_view() {
    let server = Server::start(metrics::telemetry());
    let models = server.get("/api/v1/models").await.json();
    assert_eq!(models["taken_at"], "2026-11-22T10:00:01.500Z");
    assert_eq!(models["models"][0]["key"]["model"], "credit");
    assert_eq!(models["models"][0]["policies"][0]["state"], "violated");
    let decisions = server.get("/api/v1/decisions?policy=fair-lending").await.json();
    assert_eq!(decisions["decisions"][0]["kind"], "violated");
    let none = server.get("/api/v1/decisions?policy=other").await.json();
    assert_eq!(none["decisions"].as_array().unwrap().len(), 0);
    let actions = server.get("/api/v1/actions?model=credit&version=2").await.json();
    assert_eq!(
        (&actions["actions"][0]["state"], &actions["actions"][0]["to_version"]),
        (&"applied".into(), &"1".into())
    );
    let status = server.get("/api/v1/status").await.json();
    let topic = &status["topics"]["inference"];
    assert_eq!((topic["records"].as_u64(), topic["adds_up"].as_bool()), (Some(10_000), Some(true)));
    assert_eq!(topic["rejected_by_reason"]["invalid_json"], 12);
    assert_eq!(status["sources"][0]["lag"], 17);
    assert_eq!((&status["version"], &status["ready"]), (&"0.1.0".into(), &false.into()));
    server.end().await;
}

#[tokio::test]
async fn a_request_that_cannot_be_answered_gets_a_code_and_a_message() {
    let server = Server::start(metrics::telemetry());
    for (method, path, status, code) in [
        ("GET", "/api/v1/nothing", 404, "not_found"),
        ("POST", "/api/v1/models", 405, "method_not_allowed"),
        ("GET", "/api/v1/findings?modle=credit", 400, "bad_parameter"),
        ("GET", "/api/v1/findings?verdict=bad", 400, "bad_parameter"),
        ("GET", "/api/v1/findings?metric=psy", 400, "bad_parameter"),
        ("GET", "/api/v1/findings?since=yesterday", 400, "bad_parameter"),
        ("GET", "/api/v1/findings?segment=web", 400, "bad_parameter"),
        ("GET", "/api/v1/findings?limit=-1", 400, "bad_parameter"),
        ("GET", "/api/v1/decisions?check=psi", 400, "bad_parameter"),
    ] {
        let answer = server.ask(method, path, "").await;
        assert_eq!(answer.status, status, "{path}");
        let body = answer.json();
        assert_eq!(body["code"], code, "{path}");
        assert!(body["message"].as_str().unwrap().len() > 10, "{path}: {body}");
    }
    server.end().await;
}

#[tokio::test]
async fn another_host_name_is_refused_on_loopback() {
    let server = Server::start(metrics::telemetry());
    let rebound = "GET /api/v1/findings HTTP/1.1\r\nHost: evil.example:9464\r\nConnection: close\r\n\r\n";
    let answer = server.send(rebound).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (403, Some("wrong_host")));
    let named = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(server.send(named).await.status, 200);
    server.end().await;
}

#[tokio::test]
async fn a_person_sees_models_worst_findings_decisions_and_actions_on_one_page() {
    let server = Server::start(metrics::telemetry());
    let page = server.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.head.contains("content-type: text/html; charset=utf-8"));
    assert!(page.head.contains("content-security-policy: default-src 'none'"));
    for text in [
        "credit@2",
        "fair-lending",
        "violated",
        "0.3100",
        "&lt;= 0.2",
        "0123456789abcdef0123456789abcdef",
        "roll-back to 1",
        "inference/3",
        "Not ready: kafka: no partition is assigned yet",
        "&lt;b&gt;12 rows&lt;/b&gt; of 500",
    ] {
        assert!(page.body.contains(text), "{text} in\n{}", page.body);
    }
    assert!(!page.body.contains("<b>12 rows"), "text from findings is escaped");
    for outside in ["src=", "http://", "https://", "@import", "<script"] {
        assert!(!page.body.contains(outside), "the page stands alone, without {outside}");
    }
    for text in [
        "7.00 of 14.00",
        "in shadow, never acts",
        "it was &lt;i&gt;never&lt;/i&gt; calibrated",
        "0.2500 in 28 d",
    ] {
        assert!(page.body.contains(text), "{text} in\n{}", page.body);
    }
    let acting = page.body.find("7.00 of 14.00").unwrap();
    assert!(acting < page.body.find("never acts").unwrap(), "slots that may act come first");
    assert!(!page.body.contains("decides by windows"), "fair-lending was declared to decide sequentially");
    let telemetry = metrics::telemetry();
    let other = Telemetry::new("0.1.0", "abc1234");
    other.declare_policy("credit", "fair-lending", Decide::Window);
    other.publish(telemetry.view());
    let windows = Server::start(other);
    let labelled = windows.get("/").await.body;
    assert!(labelled.contains("decides by windows: outside the false-alarm budget"), "{labelled}");
    windows.end().await;
    let breach = page.body.find("0.3100").unwrap();
    let insufficient = page.body.find("12 rows").unwrap();
    assert!(breach < insufficient, "the worst finding comes first");
    server.end().await;
}

#[tokio::test]
async fn who_asks_why_no_window_closes_is_told_which_source_partitions_hold_time_back() {
    let server = Server::start(metrics::exchange::telemetry());
    let answer = server.get("/api/v1/exchange").await.json();
    assert_eq!(answer["instance"], "plimsoll-0");
    let held = &answer["partitions"][1];
    assert_eq!((&held["partition"], &held["position"]), (&1.into(), &900.into()));
    assert_eq!(held["holding"][0], serde_json::json!({ "topic": "inference", "partition": 7 }));
    assert_eq!(held["watermark"], "2026-11-22T10:00:00Z");
    assert_eq!(held["wall"], "2026-11-22T10:00:02.500Z");
    assert_eq!(held["accounting"]["inference"]["lost"], 4);
    assert_eq!(held["turned_late"]["inference"]["records"], 3);
    assert_eq!(held["faults"]["gap_offsets"], 12);
    let status = server.get("/api/v1/status").await.json();
    assert_eq!(status["roles"], serde_json::json!(["act", "evaluate", "observe"]));
    assert_eq!((&status["instance"], &status["owns_decisions"]), (&"plimsoll-0".into(), &true.into()));
    assert_eq!(status["exchange_partitions"], serde_json::json!([0, 1]));
    let page = server.get("/").await.body;
    for text in [
        "Instance <b>plimsoll-0</b>: act, evaluate, observe; evaluates 2 partitions of the exchange; owns the decisions",
        "inference/7",
        "12 offsets missing",
        "2.5",
    ] {
        assert!(page.contains(text), "{text} in\n{page}");
    }
    server.end().await;
}

#[tokio::test]
async fn an_instance_without_an_exchange_says_nothing_of_one() {
    let server = Server::start(metrics::telemetry());
    let answer = server.get("/api/v1/exchange").await.json();
    assert_eq!((&answer["instance"], &answer["partitions"]), (&Value::Null, &serde_json::json!([])));
    assert_eq!(server.get("/api/v1/status").await.json()["owns_decisions"], Value::Null);
    assert!(!server.get("/").await.body.contains("<h2>Exchange"));
    server.end().await;
}

#[tokio::test]
async fn an_empty_daemon_says_so_on_every_page() {
    let server = Server::start(Telemetry::new("0.1.0", "abc1234"));
    let page = server.get("/").await;
    assert!(page.body.contains("No model has been seen yet."));
    assert!(page.body.contains("No window has been evaluated yet."));
    assert_eq!(server.get("/api/v1/findings").await.json()["findings"].as_array().unwrap().len(), 0);
    assert_eq!(server.get("/metrics").await.status, 200);
    server.end().await;
}

#[tokio::test]
async fn shutdown_does_not_wait_for_a_client_that_hangs() {
    let server = Server::start(metrics::telemetry());
    let mut hanging = tokio::net::TcpStream::connect(server.address).await.unwrap();
    hanging.write_all(b"GET /healthz HT").await.unwrap();
    // A full request after it makes sure that the server has accepted the hanging one.
    assert_eq!(server.get("/healthz").await.status, 200);
    let begun = Instant::now();
    server.end().await;
    assert!(begun.elapsed() < Duration::from_millis(1_800), "{:?}", begun.elapsed());
}

#[test]
fn the_default_address_is_loopback() {
    assert!(Config::default().listen.ip().is_loopback());
}
