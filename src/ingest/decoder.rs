//! From a record's bytes to rows of one model. Everything that can be wrong with a record is found
//! here, before anything is appended to a batch.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::json::{Fault, Scalar, Value, Values, quote_non_finite, read};
use super::mapping::{Place, Plan, Resolved, TopicMapping};
use super::source::RawRecord;
use crate::domain::{EventTime, RejectReason};
use crate::record::{Cell, Kind, RecordSchema};

/// Longest name of a version or tenant, in bytes. Names are kept with every pane, finding and audit
/// entry, and whoever can write to the topic chooses them.
const NAME_BYTES: usize = 256;

/// Up to this many models of a topic are searched one by one.
const FEW_MODELS: usize = 8;

/// Whether a version or tenant is one that can be kept, shown and hashed.
fn sane(name: &str) -> bool {
    name.len() <= NAME_BYTES && !name.contains(char::is_control)
}

/// What a record may be at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a value.
    pub max_record_bytes: usize,
    /// Rows of a batch request.
    pub max_rows: usize,
    /// How far ahead of wall time an event may be; none for files, which have no wall time.
    pub max_future: Option<Duration>,
    /// How far behind; likewise.
    pub max_age: Option<Duration>,
}

/// Why a record was rejected, in a word and in words. The words name places and types, never values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The reason.
    pub reason: RejectReason,
    /// What exactly was wrong.
    pub detail: String,
}

impl Rejected {
    fn new(reason: RejectReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// Reads the records of one topic.
#[derive(Debug)]
pub struct Decoder {
    plan: Plan,
    model: Place,
    models: Vec<Resolved>,
    by_name: HashMap<Box<str>, usize>,
    limits: Limits,
    values: Values,
    times: Vec<EventTime>,
}

/// A decoded record: rows of one model, not yet admitted anywhere.
#[derive(Debug)]
pub struct Decoded<'a> {
    decoder: &'a Decoder,
    model: usize,
}

impl Decoder {
    /// A decoder for a topic.
    pub fn new(mapping: &TopicMapping, limits: Limits) -> Self {
        let mut plan = Plan::new();
        let model = plan.place(&mapping.model, true);
        let models: Vec<Resolved> =
            mapping.models.iter().map(|model| Resolved::new(model, &mut plan)).collect();
        let by_name =
            models.iter().enumerate().map(|(index, model)| (model.model.as_str().into(), index)).collect();
        Self { plan, model, models, by_name, limits, values: Values::default(), times: Vec::new() }
    }

    /// Schemas of the models that the topic carries, in the order of the mapping.
    pub fn schemas(&self) -> impl Iterator<Item = &Arc<RecordSchema>> {
        self.models.iter().map(|model| &model.schema)
    }

    /// Reads one record. `now` is wall time in milliseconds.
    ///
    /// # Errors
    /// With the reason, when the record cannot be used. The decoder is then ready for the next one.
    pub fn decode(&mut self, record: &RawRecord<'_>, now: i64) -> Result<Decoded<'_>, Rejected> {
        let text = self.text(record)?;
        self.parse(text)?;
        for (name, slot) in &self.plan.headers {
            let header = record.headers.iter().rev().find(|(known, _)| known.eq_ignore_ascii_case(name));
            if let Some(value) = header.and_then(|(_, value)| std::str::from_utf8(value).ok()) {
                self.values.set_text(*slot, value);
            }
        }
        let model = self.find_model()?;
        self.check_rows(model)?;
        self.read_times(model, now)?;
        Ok(Decoded { decoder: self, model })
    }

    fn text<'r>(&self, record: &RawRecord<'r>) -> Result<&'r str, Rejected> {
        let Some(bytes) = record.value else {
            return Err(Rejected::new(RejectReason::Tombstone, "the record has no value"));
        };
        if bytes.len() > self.limits.max_record_bytes {
            let detail = format!(
                "the value has {} bytes, and `max_record_bytes` is {}",
                bytes.len(),
                self.limits.max_record_bytes
            );
            return Err(Rejected::new(RejectReason::TooLarge, detail));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            Rejected::new(RejectReason::InvalidUtf8, format!("invalid UTF-8 at byte {}", error.valid_up_to()))
        })?;
        if text.trim_start().is_empty() {
            return Err(Rejected::new(RejectReason::Empty, "the value is empty"));
        }
        Ok(text)
    }

    fn parse(&mut self, text: &str) -> Result<(), Rejected> {
        self.values.reset(&self.plan);
        let first = read(&self.plan, text, self.limits.max_rows, &mut self.values);
        let result = match first {
            // Tried a second time only after a failure, so that good records pay nothing for it.
            Err(Fault::Syntax(error)) => match quote_non_finite(text) {
                Some(quoted) => {
                    self.values.reset(&self.plan);
                    read(&self.plan, &quoted, self.limits.max_rows, &mut self.values)
                }
                None => Err(Fault::Syntax(error)),
            },
            other => other,
        };
        result.map_err(|fault| match fault {
            Fault::Syntax(error) => Rejected::new(
                RejectReason::InvalidJson,
                // Only the place: the parser's own message can quote the document.
                format!("not JSON at line {} column {}", error.line(), error.column()),
            ),
            Fault::NotAnObject => {
                Rejected::new(RejectReason::NotAnObject, "the value is JSON, but not an object")
            }
            Fault::TooManyRows => Rejected::new(
                RejectReason::TooManyRows,
                format!("more rows than `max_rows_per_record`, {}", self.limits.max_rows),
            ),
        })
    }

    fn find_model(&self) -> Result<usize, Rejected> {
        let name = match &self.model {
            Place::Literal(name) => &**name,
            Place::Slot(slot) => {
                let value = self.values.get(*slot, false, 0);
                match value.scalar {
                    Scalar::Absent | Scalar::Null => {
                        return Err(Rejected::new(RejectReason::MissingModel, "the record names no model"));
                    }
                    Scalar::Text | Scalar::Integer(_) => self.values.text(value),
                    _ => return Err(Rejected::new(RejectReason::WrongType, "the model's name is no text")),
                }
            }
        };
        // A topic of few models needs no hash of every record's model name.
        let found = if self.models.len() <= FEW_MODELS {
            self.models.iter().position(|model| model.model.as_str() == name)
        } else {
            self.by_name.get(name).copied()
        };
        found.ok_or_else(|| {
            Rejected::new(RejectReason::UnknownModel, "the record's model is not configured for this topic")
        })
    }

    fn rows(&self, model: usize) -> usize {
        let by_row = &self.models[model].by_row;
        if by_row.is_empty() { 1 } else { by_row.iter().map(|slot| self.length(*slot)).max().unwrap_or(0) }
    }

    /// Elements of the array that holds the rows of `slot`.
    fn length(&self, slot: usize) -> usize {
        self.plan.slots[slot].array.map_or(0, |node| self.values.length(node))
    }

    fn check_rows(&self, model: usize) -> Result<(), Rejected> {
        let rows = self.rows(model);
        if rows == 0 {
            return Err(Rejected::new(RejectReason::NoRows, "the batch request has no rows"));
        }
        // An array that is absent altogether is a missing column; one that is there must be whole.
        let uneven = self.models[model]
            .by_row
            .iter()
            .map(|slot| self.length(*slot))
            .find(|length| *length != 0 && *length != rows);
        match uneven {
            Some(length) => Err(Rejected::new(
                RejectReason::RowMismatch,
                format!("one array of the batch request has {rows} rows, another {length}"),
            )),
            None => Ok(()),
        }
    }

    fn read_times(&mut self, model: usize, now: i64) -> Result<(), Rejected> {
        let rows = self.rows(model);
        let spec = &self.models[model];
        let in_row = |row: usize| if rows > 1 { format!(" (row {row})") } else { String::new() };
        let mut times = std::mem::take(&mut self.times);
        times.clear();
        for row in 0..rows {
            let (value, text) = self.value(&spec.time.0, row);
            let time = spec.time.1.read(value.scalar, text).map_err(|reason| {
                Rejected::new(reason, format!("the event time cannot be read{}", in_row(row)))
            })?;
            self.check_time(time, now)?;
            let (value, text) = self.value(&spec.version, row);
            match value.scalar {
                Scalar::Absent | Scalar::Null => {
                    return Err(Rejected::new(
                        RejectReason::MissingVersion,
                        format!("the record names no version{}", in_row(row)),
                    ));
                }
                Scalar::Nested => {
                    return Err(Rejected::new(
                        RejectReason::WrongType,
                        format!("the version is no text{}", in_row(row)),
                    ));
                }
                _ if !sane(text) || !self.tenant_is_sane(spec, row) => {
                    return Err(Rejected::new(
                        RejectReason::InvalidName,
                        format!(
                            "the version or tenant is longer than {NAME_BYTES} bytes, or holds control characters{}",
                            in_row(row)
                        ),
                    ));
                }
                _ if text.is_empty() => {
                    return Err(Rejected::new(
                        RejectReason::MissingVersion,
                        format!("the version is empty{}", in_row(row)),
                    ));
                }
                _ => {}
            }
            if let Some(id) = &spec.id
                && matches!(self.value(id, row).0.scalar, Scalar::Absent | Scalar::Null)
            {
                return Err(Rejected::new(
                    RejectReason::MissingId,
                    format!("the record has no request id{}", in_row(row)),
                ));
            }
            times.push(time);
        }
        self.times = times;
        Ok(())
    }

    fn tenant_is_sane(&self, model: &Resolved, row: usize) -> bool {
        model.tenant.as_ref().is_none_or(|tenant| sane(self.value(tenant, row).1))
    }

    fn check_time(&self, time: EventTime, now: i64) -> Result<(), Rejected> {
        let now = EventTime::from_millis(now);
        match (self.limits.max_future, self.limits.max_age) {
            (Some(most), _) if time > now + most => Err(Rejected::new(
                RejectReason::FutureTimestamp,
                format!("the event time {time} is more than `max_future` ahead of the clock"),
            )),
            (_, Some(most)) if time < now - most => Err(Rejected::new(
                RejectReason::PastTimestamp,
                format!("the event time {time} is more than `max_age` behind the clock"),
            )),
            _ => Ok(()),
        }
    }

    fn value<'a>(&'a self, place: &'a Place, row: usize) -> (Value, &'a str) {
        match place {
            Place::Literal(text) => (Value::of_text(), text),
            Place::Slot(slot) => {
                let value = self.values.get(*slot, self.plan.slots[*slot].array.is_some(), row);
                (value, self.values.text(value))
            }
        }
    }

    fn cell<'a>(&'a self, place: &'a Place, scale: f64, kind: Kind, row: usize) -> Cell<'a> {
        let (value, text) = self.value(place, row);
        match (kind, value.scalar) {
            (_, Scalar::Absent | Scalar::Null) => Cell::Null,
            (_, Scalar::Nested) => Cell::Invalid,
            (Kind::Categorical, _) => Cell::Name(text),
            (Kind::Numeric, Scalar::Integer(number)) => Cell::Number(number as f64 * scale),
            (Kind::Numeric, Scalar::Float(number)) => Cell::Number(number * scale),
            (Kind::Numeric, Scalar::Bool) => Cell::Invalid,
            (Kind::Numeric, Scalar::Text) => match text {
                "NaN" | "nan" => Cell::Number(f64::NAN),
                "Infinity" | "inf" => Cell::Number(f64::INFINITY),
                "-Infinity" | "-inf" => Cell::Number(f64::NEG_INFINITY),
                _ => Cell::Invalid,
            },
        }
    }
}

impl Decoded<'_> {
    /// Number of the model in the topic's mapping.
    pub fn model(&self) -> usize {
        self.model
    }

    /// Event time per row.
    pub fn times(&self) -> &[EventTime] {
        &self.decoder.times
    }

    /// Whose model it is, in `row`.
    pub fn tenant(&self, row: usize) -> Option<&str> {
        let place = self.decoder.models[self.model].tenant.as_ref()?;
        Some(self.decoder.value(place, row).1).filter(|tenant| !tenant.is_empty())
    }

    /// The model's version, in `row`.
    pub fn version(&self, row: usize) -> &str {
        self.decoder.value(&self.decoder.models[self.model].version, row).1
    }

    /// The id of the request that `row` came with; none where none is mapped, or it is no text.
    pub fn id(&self, row: usize) -> Option<&str> {
        let place = self.decoder.models[self.model].id.as_ref()?;
        let (value, text) = self.decoder.value(place, row);
        let scalar = !matches!(value.scalar, Scalar::Absent | Scalar::Null | Scalar::Nested);
        (scalar && !text.is_empty()).then_some(text)
    }

    /// The values of `row`, in the order of the schema's columns.
    pub fn cells(&self, row: usize) -> impl Iterator<Item = Cell<'_>> {
        let model = &self.decoder.models[self.model];
        model
            .columns
            .iter()
            .zip(model.schema.columns())
            .map(move |((place, scale), column)| self.decoder.cell(place, *scale, column.kind, row))
    }
}
