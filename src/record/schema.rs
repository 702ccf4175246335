//! Which columns the records of one model have. The order is fixed: the outputs first, then
//! features, groups and segments in the order of the configuration; a column's index in this list
//! is its index in the Arrow batch, less the three leading ones that every record has.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::domain::{ModelId, Task};

/// How a column's values are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// As numbers: `Float64`.
    Numeric,
    /// As names: `Dictionary<Int32, Utf8>`.
    Categorical,
}

/// What a column is to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// What the model said.
    Prediction,
    /// How sure it was of the positive class.
    Score,
    /// What turned out to be true.
    Label,
    /// How long it took, in seconds.
    Latency,
    /// An input of the model.
    Feature,
    /// A protected attribute.
    Group,
    /// A part of the traffic.
    Segment,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Column {
    /// Configured name; `prediction`, `score`, `label` and `latency` for those roles.
    pub name: Arc<str>,
    /// What it is to the model.
    pub role: Role,
    /// How it is counted.
    pub kind: Kind,
}

/// Columns of one model's records.
#[derive(Clone, Debug)]
pub struct RecordSchema {
    /// The model.
    pub model: ModelId,
    /// What it predicts.
    pub task: Task,
    columns: Vec<Column>,
    arrow: SchemaRef,
}

/// Leading columns that every batch has: event time (ms), tenant, version.
pub(crate) const LEADING: usize = 3;

impl RecordSchema {
    /// A schema of `columns`, in their order.
    pub fn new(model: ModelId, task: Task, columns: Vec<Column>) -> Self {
        let name_type = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let mut fields = vec![
            Field::new("event_time", DataType::Int64, false),
            Field::new("tenant", name_type.clone(), true),
            Field::new("version", name_type.clone(), false),
        ];
        fields.extend(columns.iter().map(|column| {
            let data_type = match column.kind {
                Kind::Numeric => DataType::Float64,
                Kind::Categorical => name_type.clone(),
            };
            Field::new(format!("{:?}.{}", column.role, column.name).to_lowercase(), data_type, true)
        }));
        Self { model, task, columns, arrow: Arc::new(Schema::new(fields)) }
    }

    /// The columns, in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Index of the first column of `role`.
    pub fn find(&self, role: Role) -> Option<usize> {
        self.columns.iter().position(|column| column.role == role)
    }

    /// Indexes of all columns of `role`.
    pub fn all(&self, role: Role) -> impl Iterator<Item = usize> + '_ {
        self.columns.iter().enumerate().filter(move |(_, column)| column.role == role).map(|(i, _)| i)
    }

    /// Index of the column of `role` called `name`.
    pub fn named(&self, role: Role, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.role == role && &*column.name == name)
    }

    /// The Arrow schema of a batch.
    pub fn arrow(&self) -> &SchemaRef {
        &self.arrow
    }
}
