//! A changed configuration on Apache Kafka itself: two instances share the work while traffic flows, one
//! of them is told to reload, and both switch at the same event time. A bad file changes nothing.
//! tests/kafka/run.sh starts the broker and sets the variables that are read here.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod real {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::path::PathBuf;
    use std::process::{Child, Command, Stdio};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread::JoinHandle;
    use std::time::{Duration, Instant, SystemTime};

    use plimsoll::domain::{EventTime, Finding};
    use plimsoll::exchange::reader::{self, Event, Range, Whence};
    use plimsoll::exchange::topics::{Retention, Topic, ensure};
    use rdkafka::ClientConfig;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    use serde_json::Value;

    const PATIENCE: Duration = Duration::from_secs(90);
    const PARTITIONS: i32 = 4;
    /// Event time from one round of records to the next, and how long that takes. It goes by rounds and
    /// not by the clock: a broker that is slow for a while must leave no gap in it.
    const ROUND_MILLIS: i64 = 200;
    const ROUND: Duration = Duration::from_millis(20);

    fn env(name: &str) -> String {
        std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: use tests/kafka/run.sh"))
    }

    fn client() -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", env("PLIMSOLL_TEST_KAFKA"));
        client
    }

    fn configuration(name: &str, window: &str, group: &str) -> String {
        let brokers = env("PLIMSOLL_TEST_KAFKA");
        let model = |model: &str| {
            format!(
                r#"  - name: {model}
    topics: [{name}]
    task: binary
    version: /v
    time: {{from: /ts, unit: ms}}
    prediction: {{from: /p, positive: "yes"}}
    groups: [{{name: sex, from: /sex, values: [{group}]}}]
    pane: 1s
    checks:
      - {{name: {window}, metric: traffic_volume, window: {window}, slide: 2s}}
      - {{name: ratio, metric: selection_rate_ratio, window: 10s, slide: 5s, bound: ">= 0.1"}}
"#
            )
        };
        let models: String = ["credit", "fraud", "churn", "spam"].map(model).concat();
        format!(
            r#"
kafka:
  brokers: "{brokers}"
  group: {name}
  commit_interval: 300ms
  exchange: {{prefix: {name}, partitions: 4}}
  dead_letter_topic: {name}.dead-letter
  findings_topic: {name}.findings
topics: [{{name: {name}, model: /m, allowed_lateness: 1s, idle_after: 2s}}]
models:
{models}
audit: {{store: kafka, topic: {name}.audit}}
http: {{listen: 127.0.0.1:0}}
"#
        )
    }

    /// One instance; dropped, it is killed.
    struct Instance {
        child: Child,
        log: PathBuf,
    }

    impl Instance {
        fn start(name: &str, config: &PathBuf) -> Self {
            let log = config.with_file_name(format!("{name}.log"));
            let file = File::create(&log).unwrap();
            let child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
                .args(["run", "--config"])
                .arg(config)
                .env("PLIMSOLL__KAFKA__INSTANCE", name)
                .stdin(Stdio::null())
                .stdout(file.try_clone().unwrap())
                .stderr(file)
                .spawn()
                .unwrap();
            Self { child, log }
        }

        fn log(&self) -> String {
            std::fs::read_to_string(&self.log).unwrap()
        }

        fn signal(&self, signal: &str) {
            let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
            assert!(sent.success());
        }

        fn says(&self, what: &str) {
            wait_for(what, || self.log().contains(what), || self.log());
        }

        /// Status and body of an answer.
        fn ask(&self, request: &str) -> Option<(u16, String)> {
            let log = self.log();
            let line = log.lines().find(|line| line.contains("HTTP interface is listening"))?;
            let port: String =
                line.split("127.0.0.1:").nth(1)?.chars().take_while(char::is_ascii_digit).collect();
            let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).ok()?;
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let head = format!("{request} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: 0\r\n");
            write!(stream, "{head}connection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            let (head, body) = answer.split_once("\r\n\r\n")?;
            Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
        }

        fn ready(&self) {
            let ready = || self.ask("GET /readyz").is_some_and(|(status, _)| status == 200);
            wait_for("an instance to be ready", ready, || self.log());
        }
    }

    impl Drop for Instance {
        fn drop(&mut self) {
            let _ended = self.child.kill();
            let _status = self.child.wait();
        }
    }

    fn wait_for(what: &str, mut done: impl FnMut() -> bool, told: impl Fn() -> String) {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < PATIENCE, "waited in vain for {what}: {}", told());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Writes records until it is told to stop.
    #[expect(clippy::disallowed_methods, reason = "event times must not be older than the daemon takes")]
    fn traffic(topic: String, stop: Arc<AtomicBool>) -> JoinHandle<()> {
        let producer: BaseProducer = client().create().unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
        let mut time = now - 7_200_000;
        std::thread::spawn(move || {
            let mut number = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                time += ROUND_MILLIS;
                for partition in 0..PARTITIONS {
                    for model in ["credit", "fraud", "churn", "spam"] {
                        let sex = if number.is_multiple_of(2) { "F" } else { "M" };
                        let value =
                            format!(r#"{{"m":"{model}","v":"1","ts":{time},"p":"yes","sex":"{sex}"}}"#);
                        let record = BaseRecord::<(), _>::to(&topic).partition(partition).payload(&value);
                        producer.send(record).unwrap();
                        number += 1;
                    }
                }
                producer.flush(PATIENCE).unwrap();
                std::thread::sleep(ROUND);
            }
        })
    }

    fn findings(name: &str) -> Vec<Finding> {
        let topic = format!("{name}.findings");
        let range = Range {
            topic: &topic,
            partition: None,
            whence: Whence::Beginning,
            follow: false,
            patience: PATIENCE,
        };
        let mut found = Vec::new();
        let read = reader::read(&client(), &range, &mut |event| {
            if let Event::Record(record) = event {
                found.push(serde_json::from_slice(record.value.unwrap()).unwrap());
            }
            std::ops::ControlFlow::Continue(())
        });
        read.unwrap();
        found
    }

    fn of<'a>(found: &'a [Finding], check: &str) -> Vec<&'a Finding> {
        found.iter().filter(|finding| finding.check == check).collect()
    }

    #[test]
    #[ignore = "needs a real broker: tests/kafka/run.sh"]
    fn one_of_two_instances_is_told_to_reload_and_both_switch_at_the_same_time() {
        let name = format!("reload-{}", std::process::id());
        let folder = std::env::temp_dir().join(format!("plimsoll-{name}"));
        std::fs::create_dir_all(&folder).unwrap();
        let topic = Topic {
            name: name.clone(),
            partitions: Some(PARTITIONS),
            retention: Retention::Forever,
            ..Topic::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(ensure(&client(), &[topic], true, PATIENCE)).unwrap();
        let config = folder.join("plimsoll.yaml");
        let old = configuration(&name, "6s", "F, M");
        std::fs::write(&config, &old).unwrap();

        let one = Instance::start("one", &config);
        one.ready();
        let two = Instance::start("two", &config);
        two.ready();
        let stop = Arc::new(AtomicBool::new(false));
        let writer = traffic(name.clone(), Arc::clone(&stop));
        wait_for("findings", || of(&findings(&name), "6s").len() > 20, || one.log() + &two.log());

        // A bad file is refused, with all that is wrong with it, and the old one runs on.
        std::fs::write(&config, old.replace("slide: 2s", "slide: 5m").replace("pane: 1s", "pane: 7s"))
            .unwrap();
        one.signal("-HUP");
        one.says("the new configuration is refused, and the old one runs on");
        let (status, body) = two.ask("POST /-/reload").unwrap();
        assert_eq!(status, 422, "{body}");
        let errors: Value = serde_json::from_str(&body).unwrap();
        assert!(errors["errors"].as_array().unwrap().len() > 3, "{body}");
        // One that needs a restart is refused too, and says what for.
        std::fs::write(&config, old.replace("commit_interval: 300ms", "commit_interval: 400ms")).unwrap();
        let (status, body) = two.ask("POST /-/reload").unwrap();
        assert_eq!((status, body.as_str()), (409, r#"{"changed":["kafka"]}"#));
        let before = of(&findings(&name), "6s").len();
        wait_for("more findings", || of(&findings(&name), "6s").len() > before + 20, || one.log());

        // A good one: another window, and a group more, so that cells mean something else.
        std::fs::write(&config, configuration(&name, "8s", "F, M, X")).unwrap();
        one.signal("-HUP");
        one.says("the configuration was read again");
        let (status, body) = two.ask("POST /-/reload").unwrap();
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(answer["generation"], 2, "the other one has it already: {body}");
        let from: EventTime = answer["effective_from"].as_str().unwrap().parse().unwrap();
        let told = || one.log() + &two.log();
        wait_for("the new check", || of(&findings(&name), "8s").len() > 40, told);

        // One that comes back with its old file follows the newest configuration, and says so.
        drop(two);
        let stale = folder.join("stale.yaml");
        std::fs::write(&stale, &old).unwrap();
        let three = Instance::start("two", &stale);
        three.ready();
        three.says("is an older one than the others run with");
        let before = of(&findings(&name), "8s").len();
        wait_for("more findings", || of(&findings(&name), "8s").len() > before + 40, || three.log());
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();

        let found = findings(&name);
        for model in ["credit", "fraud", "churn", "spam"] {
            let ends = |check: &str| -> Vec<EventTime> {
                let mine = of(&found, check).into_iter().filter(|finding| finding.model.as_str() == model);
                mine.map(|finding| finding.window.end).collect()
            };
            let (last, first) =
                (ends("6s").into_iter().max().unwrap(), ends("8s").into_iter().min().unwrap());
            assert!(last <= from && first > from, "{model}: {last} and {first} around {from}");
            assert!(first - Duration::from_secs(2) <= from, "no window is left out: {first} after {from}");
            let mut all = [ends("6s"), ends("8s")].concat();
            all.sort();
            let next = |pair: &[EventTime]| pair[0] + Duration::from_secs(2) == pair[1];
            assert!(all.windows(2).all(next), "{model}: each window once: {all:?}");
        }
        for log in [one.log(), three.log()] {
            assert!(!log.contains("too late") && !log.contains("were refused"), "{log}");
        }
        drop((one, three));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
