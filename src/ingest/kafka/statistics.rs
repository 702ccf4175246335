//! The few numbers of librdkafka's statistics that are needed: where each partition's log ends and
//! how far the client has come in it, and whether brokers answer. The whole report is hundreds of fields; only these are parsed.

use std::collections::HashMap;

use serde::Deserialize;

use super::OffsetReset;

/// One partition in librdkafka's statistics; unknown offsets are negative.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct PartitionStatistics {
    next_offset: i64,
    app_offset: i64,
    eof_offset: i64,
    lo_offset: i64,
    hi_offset: i64,
    ls_offset: i64,
}

#[derive(Debug, Default, Deserialize)]
struct Topic {
    partitions: HashMap<i32, PartitionStatistics>,
}

/// The statistics of one moment.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Statistics {
    /// Answers of all brokers since the client was made.
    #[serde(default, rename = "rx")]
    pub(super) answers: u64,
    #[serde(default)]
    topics: HashMap<String, Topic>,
}

impl Statistics {
    /// What is known of one partition.
    pub(super) fn partition(&self, topic: &str, partition: i32) -> Option<&PartitionStatistics> {
        self.topics.get(topic)?.partitions.get(&partition)
    }
}

impl PartitionStatistics {
    /// The offset up to which records may be read; none where the broker has not said yet.
    fn end(&self) -> Option<i64> {
        [self.ls_offset, self.hi_offset].into_iter().find(|offset| *offset >= 0)
    }

    /// Where the application is, given the position that it knows itself.
    fn reached(&self, position: Option<i64>, reset: OffsetReset) -> i64 {
        let known = position.unwrap_or(-1).max(self.app_offset);
        match reset {
            _ if known >= 0 => known,
            OffsetReset::Latest => self.next_offset,
            OffsetReset::Earliest | OffsetReset::Error => self.lo_offset,
        }
    }

    /// Records between the position and the end of the log.
    pub(super) fn lag(&self, position: Option<i64>, reset: OffsetReset) -> Option<i64> {
        Some((self.end()? - self.reached(position, reset).max(0)).max(0))
    }

    /// Whether the fetcher stands at the end that it announced, and the application has all of it.
    /// `app_offset` counts control records of transactions too, which no application ever sees.
    pub(super) fn at_end(&self, position: Option<i64>, reset: OffsetReset) -> bool {
        self.eof_offset >= 0
            && self.eof_offset == self.next_offset
            && self.reached(position, reset) >= self.eof_offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(next: i64, app: i64, eof: i64, hi: i64) -> PartitionStatistics {
        let report = format!(
            r#"{{"name":"x","topics":{{"t":{{"topic":"t","partitions":{{"0":{{"next_offset":{next},"app_offset":{app},
            "eof_offset":{eof},"lo_offset":0,"hi_offset":{hi},"ls_offset":{hi},"fetchq_cnt":7}}}}}}}}}}"#
        );
        *serde_json::from_str::<Statistics>(&report).unwrap().partition("t", 0).unwrap()
    }

    #[test]
    fn the_end_is_reached_only_when_everything_before_it_was_handed_over() {
        let earliest = OffsetReset::Earliest;
        assert!(!partition(10, 7, 10, 10).at_end(Some(7), earliest), "three records still wait");
        assert!(partition(10, 10, 10, 10).at_end(Some(10), earliest));
        assert!(partition(11, 11, 11, 11).at_end(Some(10), earliest), "the last record is a control record");
        assert!(!partition(12, 12, 10, 20).at_end(Some(12), earliest), "the log has grown since");
        assert!(!partition(10, -1001, 10, 10).at_end(None, earliest), "nothing was handed over yet");
        assert!(partition(0, -1001, 0, 0).at_end(None, earliest), "the partition is empty");
        assert!(partition(10, -1001, 10, 10).at_end(Some(10), earliest), "it was assigned at its end");
    }

    #[test]
    fn lag_is_counted_from_the_position_and_unknown_before_the_first_fetch() {
        assert_eq!(partition(10, 4, -1001, 10).lag(Some(4), OffsetReset::Earliest), Some(6));
        assert_eq!(partition(10, -1001, -1001, 10).lag(None, OffsetReset::Earliest), Some(10));
        assert_eq!(partition(0, -1001, -1001, -1001).lag(None, OffsetReset::Earliest), None);
    }
}
