//! `plimsoll profile`: freezes a reference from files of healthy records. The rows pass through the
//! decoder and the mapping of the live topic, so that reference and traffic are read alike; only
//! what a reference need not have (time, version, request id) is made up.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::compile::{ModelPlan, file_limits, plan};
use crate::config::Config;
use crate::domain::{RejectReason, SourcePartition};
use crate::ingest::decoder::{Decoder, Limits, Rejected};
use crate::ingest::mapping::{FieldSource, ModelMapping, TopicMapping};
use crate::ingest::source::RawRecord;
use crate::ingest::time::TimeUnit;
use crate::profile::{self, Profile};
use crate::query::files;
use crate::record::{BatchBuilder, InferenceBatch};

/// Rows of a batch.
const BATCH_ROWS: usize = 8_192;

/// A frozen reference, and what was left out on the way.
#[derive(Clone, Debug)]
pub struct Frozen {
    /// The profile.
    pub profile: Profile,
    /// Records that could not be read.
    pub rejected: u64,
    /// The first of them: file, row, why.
    pub first_rejected: Option<String>,
    /// Records of other models, which were left out.
    pub others: u64,
}

/// Collects reference records of one model.
#[derive(Debug)]
pub struct Freezer {
    plan: ModelPlan,
    /// Reads records that name their model, as the model's first topic does.
    decoder: Decoder,
    /// Reads records that name none: reference files often hold one model's rows only.
    nameless: Decoder,
    others: u64,
    partition: SourcePartition,
    builder: BatchBuilder,
    batches: Vec<InferenceBatch>,
    rejected: u64,
    first_rejected: Option<String>,
}

impl Freezer {
    /// Collects records of `model`.
    ///
    /// # Errors
    /// When the model is not configured.
    pub fn new(config: &Config, model: &str) -> anyhow::Result<Self> {
        let plan = plan(config.require_model(model)?);
        let mapping = ModelMapping {
            tenant: None,
            version: FieldSource::Literal("reference".to_owned()),
            time: (FieldSource::Literal("1".to_owned()), TimeUnit::Seconds),
            id: None,
            ..plan.mapping.clone()
        };
        let configured = config.require_model(model)?;
        let named = config.topics.iter().find(|topic| configured.topics.contains(&topic.name));
        let literal = FieldSource::Literal(model.to_owned());
        let decoder = |source: FieldSource| {
            let topic = TopicMapping { model: source, models: vec![mapping.clone()] };
            Decoder::new(&topic, Limits { max_future: None, ..file_limits(config) })
        };
        Ok(Self {
            decoder: decoder(named.map_or_else(|| literal.clone(), |topic| topic.model.clone())),
            nameless: decoder(literal),
            others: 0,
            partition: SourcePartition::new("reference", 0),
            builder: BatchBuilder::new(Arc::clone(&plan.schema)),
            batches: Vec::new(),
            rejected: 0,
            first_rejected: None,
            plan,
        })
    }

    /// Takes one record; `place` says where it stood, should it be unreadable.
    pub fn take(&mut self, value: &[u8], place: impl FnOnce() -> String) {
        let record =
            RawRecord { partition: &self.partition, offset: 0, key: None, value: Some(value), headers: &[] };
        let missing = |why: &Rejected| why.reason == RejectReason::MissingModel;
        let decoder = match self.decoder.decode(&record, 0) {
            Err(why) if missing(&why) => &mut self.nameless,
            _ => &mut self.decoder,
        };
        match decoder.decode(&record, 0) {
            Err(why) if why.reason == RejectReason::UnknownModel => self.others += 1,
            Ok(decoded) => {
                for (row, time) in decoded.times().iter().enumerate() {
                    self.builder.append(*time, None, decoded.version(row), decoded.cells(row));
                }
            }
            Err(why) => {
                self.rejected += 1;
                self.first_rejected
                    .get_or_insert_with(|| format!("{}: {} ({})", place(), why.reason, why.detail));
            }
        }
        if self.builder.rows() >= BATCH_ROWS {
            self.batches.push(self.builder.finish());
        }
    }

    /// Freezes what was collected.
    ///
    /// # Errors
    /// When no record could be used.
    pub fn finish(mut self) -> anyhow::Result<Frozen> {
        self.batches.push(self.builder.finish());
        let (rejected, first_rejected, others) = (self.rejected, self.first_rejected, self.others);
        match (profile::build(&self.plan.schema, &self.batches, &self.plan.options), first_rejected) {
            (Ok(profile), first_rejected) => Ok(Frozen { profile, rejected, first_rejected, others }),
            (Err(error), Some(first)) => {
                bail!("{error}; {rejected} records could not be read, the first at {first}")
            }
            (Err(error), None) => Err(error).context("there is nothing to freeze"),
        }
    }
}

/// Freezes the reference of `model` from `inputs`.
///
/// # Errors
/// When the model is not configured, a file cannot be read, or no record of it can be used.
pub fn freeze(config: &Config, model: &str, inputs: &[PathBuf]) -> anyhow::Result<Frozen> {
    let mut freezer = Freezer::new(config, model)?;
    files::rows(inputs, &mut |file, row, value| {
        freezer.take(value, || format!("{} row {row}", file.display()));
        ControlFlow::Continue(())
    })?;
    freezer.finish()
}
