//! The log of a lending model: healthy under v1, unfair to one sex under v2, then fair again under
//! v2. Every record follows from its number, so a test knows what each partition holds.

use plimsoll::domain::EventTime;
use serde_json::json;

/// Records a second of event time.
const RATE: i64 = 100;
/// Length of the log in seconds of event time, and where its parts begin.
pub(super) const SECONDS: i64 = 64;
const UNFAIR_FROM: i64 = 20;
const FAIR_FROM: i64 = 40;
/// How late a record may be, as configured, in milliseconds.
pub(super) const LATENESS: i64 = 1_000;
/// Partitions with records; the topic has one more, which stays empty.
pub(super) const PARTITIONS: i32 = 3;

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Used,
    Late,
    /// With this reason.
    Rejected(&'static str),
}

/// One record, in the order in which all partitions together were written.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) partition: i32,
    pub(super) value: String,
    pub(super) fate: Fate,
}

/// The log, and the event time up to which its windows close.
#[derive(Clone, Debug)]
pub(super) struct Log {
    pub(super) records: Vec<Record>,
    pub(super) closes_until: EventTime,
}

impl Log {
    /// The log that begins at `base` milliseconds since the epoch.
    pub(super) fn new(base: i64) -> Self {
        let mut records = Vec::new();
        for number in 0..SECONDS * RATE {
            let partition = (mix(number, 0) % PARTITIONS as u64) as i32;
            let mut put = |value: String, fate: Fate| records.push(Record { partition, value, fate });
            // Records come a little out of order, never by more than what is allowed.
            let behind = (mix(number, 1) % 300) as i64;
            put(prediction(number, base + number * 1_000 / RATE - behind), Fate::Used);
            if number > 30 * RATE && number % 300 == 0 {
                put(prediction(number, base + number * 1_000 / RATE - 20_000), Fate::Late);
            }
            match (number % 400, number / 400 % 3) {
                (7, 0) => put("{\"model\": \"credit\", ".to_owned(), Fate::Rejected("invalid_json")),
                (7, 1) => put(json!({"model": "another"}).to_string(), Fate::Rejected("unknown_model")),
                (7, _) => {
                    let without = json!({"model": "credit", "version": "v1"});
                    put(without.to_string(), Fate::Rejected("missing_time"));
                }
                _ => {}
            }
        }
        // Each partition ends at the same event time, so that the same windows close whichever is
        // the last to fall silent.
        let end = base + SECONDS * 1_000;
        for partition in 0..PARTITIONS {
            let value = prediction(SECONDS * RATE + i64::from(partition), end);
            records.push(Record { partition, value, fate: Fate::Used });
        }
        Self { records, closes_until: EventTime::from_millis(end - LATENESS) }
    }

    /// How many records meet `fate`.
    pub(super) fn count(&self, is: impl Fn(Fate) -> bool) -> usize {
        self.records.iter().filter(|record| is(record.fate)).count()
    }

    /// The values of one partition, in order.
    pub(super) fn partition(&self, number: i32) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |record| record.partition == number)
    }
}

fn prediction(number: i64, millis: i64) -> String {
    let second = number / RATE;
    let version = if second < UNFAIR_FROM { "v1" } else { "v2" };
    let unfair = (UNFAIR_FROM..FAIR_FROM).contains(&second);
    let female = mix(number, 2).is_multiple_of(2);
    let share = if unfair && female { 30 } else { 80 };
    let approved = mix(number, 3) % 100 < share;
    let repaid = approved == (mix(number, 4) % 100 < 90);
    json!({
        "model": "credit",
        "version": version,
        "ts": millis,
        "sex": if female { "F" } else { "M" },
        "prediction": if approved { "approved" } else { "denied" },
        "label": if repaid { "approved" } else { "denied" },
        "latency_ms": 5 + mix(number, 5) % 40,
    })
    .to_string()
}

/// A number that looks random and follows from `number` and `salt` (the finalizer of SplitMix64).
pub(super) fn mix(number: i64, salt: u64) -> u64 {
    let mut z = (number as u64).wrapping_add(salt << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
