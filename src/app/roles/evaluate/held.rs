//! One partition of the exchange that is held: its evaluator, and what waits to be committed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::{Around, Settings};
use crate::app::reload::{Configurations, declare};
use crate::domain::{Decision, Report};
use crate::engine::Generation;
use crate::engine::decided;
use crate::engine::evaluator::{Change, Evaluated, Evaluator, Record, StateKey};
use crate::engine::message::Message;
use crate::engine::view::ExchangeView;
use crate::engine::wire::{self, parts};
use crate::exchange::state::Compacted;
use crate::exchange::transaction::{self, Transactor};
use crate::ingest::source::RawRecord;

/// What is to be written, and what it follows from.
#[derive(Debug, Default)]
struct Batch {
    /// Keys and values of state records; no value takes the record away.
    state: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Keys and values of findings.
    findings: Vec<(String, String)>,
    /// Ids and values of decisions.
    decisions: Vec<(String, Vec<u8>)>,
    /// The offset that it follows from.
    position: i64,
    evaluated: Evaluated,
    took: Duration,
}

/// One partition of the exchange.
#[derive(Debug)]
pub(super) struct Held {
    evaluator: Evaluator,
    /// The next offset of the exchange.
    position: i64,
    /// Messages before this offset are in the state already.
    restored_until: i64,
    /// Records that stand in more than one part, and in how many.
    long: BTreeMap<Vec<u8>, u16>,
    /// What was said since the last batch was made.
    evaluated: Evaluated,
    took: Duration,
    /// Whether anything came since the last batch was made.
    moved: bool,
    /// What is being written, or is to be written again.
    batch: Option<Batch>,
    /// Bytes of the state that it was restored from.
    bytes: u64,
    records: usize,
}

/// An evaluator of `records`, by the generations of the configuration that they were made in. Where
/// nothing is known yet, by the first: the exchange tells of the others.
fn configured(
    configurations: &Configurations,
    reads: impl Fn(&str) -> bool,
    records: Vec<(StateKey, Record)>,
) -> anyhow::Result<(Evaluator, Option<i64>)> {
    let marks = records.iter().find_map(|(_, record)| match record {
        Record::Marks(marks) => Some(marks),
        _ => None,
    });
    let models = |generation: &Generation| anyhow::Ok(configurations.compiled(generation.number)?.models());
    let mut coming = Vec::new();
    for generation in marks.iter().flat_map(|marks| &marks.coming) {
        coming.push((generation.clone(), models(generation)?));
    }
    let first = configurations.oldest().context("no configuration is published")?;
    let in_effect = marks.and_then(|marks| marks.configured.clone());
    let current = models(in_effect.as_ref().unwrap_or(&first))?;
    let (mut evaluator, position) = Evaluator::restore_configured(current.clone(), coming, reads, records);
    if in_effect.is_none() {
        let _nothing_to_say = evaluator.reconfigure(first, current);
    }
    Ok((evaluator, position))
}

impl Held {
    /// Takes up partition `number` with the state `found` at `committed`, the group's offset. That one
    /// was fetched before the state was read, and only its owner may write it, so the state cannot be
    /// ahead of it.
    pub(super) fn restore(
        settings: &Settings,
        number: i32,
        committed: Option<i64>,
        found: Compacted,
    ) -> anyhow::Result<Self> {
        let (bytes, topic) = (found.bytes, &settings.state);
        let mut long = BTreeMap::new();
        let mut records = Vec::new();
        for whole in parts::join(found.values).with_context(|| format!("state in {topic}/{number}"))? {
            let at = || {
                let key = String::from_utf8_lossy(&whole.key).into_owned();
                format!("state record {key} in {topic}/{number}")
            };
            let key = wire::decode_key(&whole.key).with_context(at)?;
            let record = wire::decode_record(&key, &whole.value).with_context(at)?;
            if whole.parts > 1 {
                long.insert(whole.key, whole.parts);
            }
            records.push((key, record));
        }
        let count = records.len();
        let reads = |topic: &str| settings.inputs.iter().any(|input| **input == *topic);
        let (evaluator, position) = configured(&settings.configurations, reads, records)
            .with_context(|| format!("the state in {topic}/{number}"))?;
        let position = match (committed, position) {
            (None, None) => 0,
            // The group was forgotten, or moved back: what is known says where to go on.
            (None, Some(known)) => known,
            (Some(committed), Some(known)) if committed <= known => known,
            (Some(committed), Some(known)) => bail!(
                "the state in {topic}/{number} ends at offset {known} of the exchange, and the group's offset is \
                 {committed}: messages in between would be left out. Was the group's offset moved forward, or \
                 state deleted? Set the offset of group {} back to {known}",
                settings.source.group
            ),
            (Some(committed), None) => bail!(
                "there is no state in {topic}/{number}, and the group's offset is {committed}: was the topic \
                 made anew? Delete the offsets of group {} to begin again without a past",
                settings.source.group
            ),
        };
        Ok(Self {
            evaluator,
            position,
            restored_until: position,
            long,
            evaluated: Evaluated::default(),
            took: Duration::ZERO,
            moved: false,
            batch: None,
            bytes,
            records: count,
        })
    }

    /// Says what was taken up.
    pub(super) fn announce(&self, number: i32, took: Duration) {
        tracing::info!(
            partition = number,
            offset = self.position,
            records = self.records,
            bytes = self.bytes,
            took_ms = took.as_millis() as u64,
            "a partition of the exchange is taken up"
        );
    }

    /// Bytes of the state that it was restored from.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn evaluator(&self) -> &Evaluator {
        &self.evaluator
    }

    /// Takes the next message.
    pub(super) fn take(
        &mut self,
        record: &RawRecord<'_>,
        settings: &Settings,
        around: &Around,
    ) -> anyhow::Result<()> {
        if record.offset < self.restored_until {
            return Ok(());
        }
        let began = Instant::now();
        let place = || format!("message at {} offset {}", record.partition, record.offset);
        let bytes = record.value.unwrap_or_default();
        let message = wire::decode(bytes).with_context(place)?;
        match message {
            Message::Control(told) => self.reconfigure(&told, settings, around).with_context(place)?,
            message => self.evaluated.join(self.evaluator.take(message)),
        }
        self.position = record.offset + 1;
        self.moved = true;
        self.took += began.elapsed();
        around.telemetry.exchange_message(bytes.len() as u64);
        Ok(())
    }

    /// The exchange tells of a generation of the configuration.
    fn reconfigure(&mut self, told: &Generation, settings: &Settings, around: &Around) -> anyhow::Result<()> {
        let known = settings.configurations.resolve(told, settings.restore_patience, &around.stop)?;
        let Some(compiled) = known else { return Ok(()) };
        if let Some(closed) = self.evaluator.closed_until().filter(|closed| *closed > told.from()) {
            tracing::error!(
                generation = told.number,
                from = %told.from(),
                closed = %closed,
                "a configuration was heard of too late: windows that it is for were judged by the one before"
            );
        }
        declare(&compiled.config, &around.telemetry);
        self.evaluated.join(self.evaluator.reconfigure(compiled.generation.clone(), compiled.models()));
        Ok(())
    }

    /// Whether there is something to commit.
    pub(super) fn moved(&self) -> bool {
        self.moved || self.batch.is_some()
    }

    /// Whether somebody waits for what there is to commit.
    pub(super) fn speaks(&self) -> bool {
        self.batch.is_some() || !self.evaluated.is_empty()
    }

    /// Writes what is to be committed; the offset that it follows from, or none where there is nothing.
    pub(super) fn write(
        &mut self,
        settings: &Settings,
        number: i32,
        transactor: &mut Transactor,
    ) -> Result<Option<i64>, transaction::Error> {
        if self.batch.is_none() && self.moved {
            self.batch = Some(self.make_batch(settings.part_bytes));
        }
        let Some(batch) = &self.batch else { return Ok(None) };
        for (key, value) in &batch.state {
            transactor.send(&settings.state, Some(number), Some(key), value.as_deref(), &[])?;
        }
        for (id, value) in &batch.decisions {
            transactor.send(&settings.decisions, Some(0), Some(id.as_bytes()), Some(value), &[])?;
        }
        if let Some(topic) = &settings.findings {
            for (key, json) in &batch.findings {
                transactor.send(topic, None, Some(key.as_bytes()), Some(json.as_bytes()), &[])?;
            }
        }
        Ok(Some(batch.position))
    }

    fn make_batch(&mut self, most: usize) -> Batch {
        let evaluated = std::mem::take(&mut self.evaluated);
        let mut batch =
            Batch { position: self.position, took: std::mem::take(&mut self.took), ..Batch::default() };
        self.moved = false;
        for Change { key, record } in self.evaluator.changes(self.position) {
            let key = wire::encode_key(&key);
            let before = self.long.remove(&key).unwrap_or(1);
            match record {
                Some(record) => {
                    let mut written = 0;
                    parts::cut(&key, &wire::encode_record(&record), most, &mut |key, part| {
                        batch.state.push((key.to_vec(), Some(part.to_vec())));
                        written += 1;
                    });
                    if before.max(written) > 1 {
                        self.long.insert(key, before.max(written));
                    }
                }
                None => batch.state.extend(parts::keys(&key, before).map(|key| (key, None))),
            }
        }
        for finding in &evaluated.findings {
            let json = serde_json::to_string(&**finding).expect("a finding has text keys and finite numbers");
            batch.findings.push((finding.model.as_str().to_owned(), json));
        }
        let wall = Some(self.evaluator.wall()).filter(|wall| *wall > 0);
        let read: Vec<_> = match evaluated.decisions.is_empty() {
            true => Vec::new(),
            false => {
                self.evaluator.intake().seen().iter().map(|(source, to)| (source.clone(), *to)).collect()
            }
        };
        let message = |decision: &Decision| (decision.id.clone(), decided::encode(decision, wall, &read));
        batch.decisions = evaluated.decisions.iter().map(message).collect();
        let report = |report: &Report| (report.model.to_string(), decided::encode_report(report));
        batch.decisions.extend(evaluated.reports.iter().map(report));
        batch.evaluated = evaluated;
        batch
    }

    /// What was written is committed: what it says, and how long it took to find out.
    pub(super) fn settled(&mut self) -> Option<(Evaluated, Duration)> {
        self.batch.take().map(|batch| (batch.evaluated, batch.took))
    }

    /// As it is shown.
    pub(super) fn view(&self, number: i32) -> ExchangeView {
        ExchangeView {
            partition: number,
            position: self.position,
            watermark: self.evaluator.watermark(),
            holding: self.evaluator.holding().cloned().collect(),
            accounting: self.evaluator.intake().accounting().clone(),
            turned_late: self.evaluator.intake().turned().clone(),
            faults: self.evaluator.intake().faults(),
            wall: self.evaluator.wall(),
        }
    }
}
