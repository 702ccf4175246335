//! The one broker, as a process: what it uses, and how it is taken away.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::env;

/// Its folder, as tests/kafka/broker.sh made it.
fn folder() -> PathBuf {
    PathBuf::from(env("PLIMSOLL_MEASURE_BROKER"))
}

/// Its process.
pub(super) fn id() -> u32 {
    std::fs::read_to_string(folder().join("broker.pid")).unwrap().trim().parse().unwrap()
}

/// Bytes on its disk that a topic takes, indexes left out.
pub(super) fn disk(topic: &str) -> u64 {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder().join("data")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.rsplit_once('-').is_none_or(|(of, _)| of != topic) {
            continue;
        }
        for file in std::fs::read_dir(entry.path()).unwrap().flatten() {
            if file.path().extension().is_some_and(|extension| extension == "log") {
                sum += file.metadata().map_or(0, |metadata| metadata.len());
            }
        }
    }
    sum
}

pub(super) fn signal(id: u32, name: &str) {
    let sent = Command::new("kill").args([name, &id.to_string()]).status().unwrap();
    assert!(sent.success(), "{name} could not be sent to {id}");
}

/// The same broker again, with its ports and data. Its id is written where the script looks for it, which ends it.
pub(super) fn start_again() -> Child {
    let folder = folder();
    let log = std::fs::File::options().append(true).create(true).open(folder.join("broker.log")).unwrap();
    let child = Command::new("java")
        .args(["-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .arg(format!("-Dlog4j2.configurationFile={}", folder.join("log4j2.xml").display()))
        .args(["-cp", &format!("{}/*", env("PLIMSOLL_MEASURE_LIB")), "kafka.Kafka"])
        .arg(folder.join("server.properties"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    std::fs::write(folder.join("broker.pid"), format!("{}\n", child.id())).unwrap();
    child
}
