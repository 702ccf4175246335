//! `plimsoll profile`: freezes a reference from files of healthy records. The rows pass through the
//! decoder and the mapping of the live topic, so that reference and traffic are read alike; only
//! what a reference need not have (time, version, request id) is made up.

use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::{Context, bail};

use super::compile::{ModelPlan, file_limits, plan};
use crate::config::Config;
use crate::domain::SourcePartition;
use crate::ingest::decoder::Decoder;
use crate::ingest::mapping::{FieldSource, ModelMapping, TopicMapping};
use crate::ingest::source::RawRecord;
use crate::ingest::time::TimeUnit;
use crate::profile::{self, Profile};
use crate::query::files;
use crate::record::BatchBuilder;

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
}

/// Freezes the reference of `model` from `inputs`.
///
/// # Errors
/// When the model is not configured, a file cannot be read, or no record of it can be used.
pub fn freeze(config: &Config, model: &str, inputs: &[PathBuf]) -> anyhow::Result<Frozen> {
    let ModelPlan { mapping, options, schema } = plan(config.require_model(model)?);
    let mapping = ModelMapping {
        tenant: None,
        version: FieldSource::Literal("reference".to_owned()),
        time: (FieldSource::Literal("1".to_owned()), TimeUnit::Seconds),
        id: None,
        ..mapping
    };
    let topic = TopicMapping { model: FieldSource::Literal(model.to_owned()), models: vec![mapping] };
    let mut decoder = Decoder::new(&topic, file_limits(config));
    let mut builder = BatchBuilder::new(schema.clone());
    let (mut batches, mut rejected, mut first_rejected) = (Vec::new(), 0, None);
    files::rows(inputs, &mut |file, row, value| {
        let partition = SourcePartition::new("reference", 0);
        let record =
            RawRecord { partition: &partition, offset: row as i64, key: None, value: Some(value), headers: &[] };
        match decoder.decode(&record, 0) {
            Ok(decoded) => {
                for (row, time) in decoded.times().iter().enumerate() {
                    builder.append(*time, None, decoded.version(row), decoded.cells(row));
                }
            }
            Err(why) => {
                rejected += 1;
                first_rejected.get_or_insert_with(|| {
                    format!("{} row {row}: {} ({})", file.display(), why.reason, why.detail)
                });
            }
        }
        if builder.rows() >= BATCH_ROWS {
            batches.push(builder.finish());
        }
        ControlFlow::Continue(())
    })?;
    batches.push(builder.finish());
    let profile = match profile::build(&schema, &batches, &options) {
        Ok(profile) => profile,
        Err(error) => match first_rejected {
            Some(first) => bail!("{error}; {rejected} records could not be read, the first at {first}"),
            None => return Err(error).context("there is nothing to freeze"),
        },
    };
    Ok(Frozen { profile, rejected, first_rejected })
}
