//! A model with its reference, and windows of rows to ask about: rows pass through the decoder, the
//! mapping and the cells of the daemon, and only the windows are put together by hand.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use plimsoll::app::compile::{file_limits, topics};
use plimsoll::app::profiling::Freezer;
use plimsoll::check::Asked;
use plimsoll::config::{self, Config};
use plimsoll::domain::{EventTime, Finding, ModelKey, Segment, SourcePartition, Window};
use plimsoll::engine::ModelSpec;
use plimsoll::ingest::decoder::Decoder;
use plimsoll::ingest::mapping::{FieldSource, TopicMapping};
use plimsoll::ingest::source::RawRecord;
use plimsoll::ingest::time::TimeUnit;
use plimsoll::profile::Profile;
use plimsoll::record::BatchBuilder;
use plimsoll::sketch::Summary;
use serde_json::Value;

use crate::replay::sane;

pub(crate) fn configured(text: &str) -> Config {
    config::parse(text, Path::new("plimsoll.yaml"), []).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The frozen reference of the only model of `config`.
pub(crate) fn frozen(config: &Config, reference: &[Value]) -> Profile {
    let mut freezer = Freezer::new(config, &config.models[0].name).unwrap();
    for row in reference {
        freezer.take(row.to_string().as_bytes(), String::new);
    }
    let frozen = freezer.finish().unwrap();
    assert_eq!(frozen.first_rejected, None);
    frozen.profile
}

/// One configured model, ready to be asked.
pub(crate) struct World {
    pub(crate) spec: Arc<ModelSpec>,
    config: Config,
    mapping: TopicMapping,
}

impl World {
    /// The model of `text`, with `reference` frozen where there are rows.
    pub(crate) fn new(text: &str, reference: &[Value]) -> Self {
        let config = configured(text);
        let mut profiles = BTreeMap::new();
        if !reference.is_empty() {
            profiles.insert(config.models[0].name.clone(), frozen(&config, reference));
        }
        let topic = topics(&config, &profiles).unwrap().remove(0);
        let mut mapping = topic.mapping;
        mapping.models[0].time = (FieldSource::Literal("1".to_owned()), TimeUnit::Seconds);
        Self { spec: Arc::clone(&topic.models[0]), config, mapping }
    }

    /// The counts of `rows`.
    pub(crate) fn count(&self, rows: &[Value]) -> Summary {
        let mut decoder = Decoder::new(&self.mapping, file_limits(&self.config));
        let mut builder = BatchBuilder::new(Arc::clone(&self.spec.schema));
        let partition = SourcePartition::new("rows", 0);
        for row in rows {
            // Numbers that JSON has not are written as logs write them.
            let text = row.to_string();
            let value = Some(text.as_bytes());
            let record = RawRecord { partition: &partition, offset: 0, key: None, value, headers: &[] };
            let decoded = decoder.decode(&record, 0).unwrap();
            builder.append(decoded.times()[0], None, decoded.version(0), decoded.cells(0));
        }
        let coded = self.spec.coder.code(&builder.finish());
        let mut summary = Summary::new(&self.spec.layout);
        summary.update(&coded, &(0..rows.len() as u32).collect::<Vec<u32>>());
        summary
    }

    pub(crate) fn key(&self) -> ModelKey {
        ModelKey {
            tenant: None,
            model: self.spec.id.clone(),
            version: "1".into(),
            segment: Segment::All,
            profile: self.spec.profile_hash(),
        }
    }

    /// What all checks say of a window with these counts.
    pub(crate) fn ask(&self, summary: &Summary) -> Vec<Finding> {
        let span = Window { start: EventTime::from_millis(60_000), end: EventTime::from_millis(120_000) };
        let (key, profile) = (self.key(), self.spec.profile.as_deref());
        let asked = Asked { key: &key, span, summary, profile, elsewhere: false };
        let mut findings = Vec::new();
        for check in &self.spec.checks {
            let before = findings.len();
            check.evaluate(&asked, &self.spec.layout, &mut findings);
            assert!(findings.len() > before, "{} says nothing", check.name);
        }
        findings.iter().for_each(sane);
        findings
    }

    /// What one check says of a window of `rows`, about one thing.
    #[track_caller]
    pub(crate) fn answer(&self, rows: &[Value], check: &str) -> Finding {
        let findings = self.ask(&self.count(rows));
        let mut mine = findings.into_iter().filter(|finding| finding.check == check);
        let answer = mine.next().unwrap_or_else(|| panic!("there is no check {check}"));
        assert_eq!(mine.next(), None, "{check} is about one thing");
        answer
    }
}
