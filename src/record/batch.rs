//! A batch of inference records of one model as Arrow columns, with the rows whose value had the
//! wrong type kept apart: to be missing and to be wrong are different statistics.

use std::sync::Arc;

use arrow::array::{Array, AsArray, DictionaryArray, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};

use super::schema::{LEADING, RecordSchema};

/// Records of one model, column by column.
#[derive(Clone, Debug)]
pub struct InferenceBatch {
    schema: Arc<RecordSchema>,
    batch: RecordBatch,
    /// Per column, the rows that held a value of the wrong type (null in the column), ascending.
    invalid: Vec<Vec<u32>>,
    /// Hashes of the ids of the first rows; may be shorter than the batch.
    ids: Vec<Option<u64>>,
}

impl InferenceBatch {
    /// Wraps columns that the builder made by `schema`.
    pub(super) fn new(
        schema: Arc<RecordSchema>,
        batch: RecordBatch,
        invalid: Vec<Vec<u32>>,
        ids: Vec<Option<u64>>,
    ) -> Self {
        debug_assert_eq!(batch.num_columns(), schema.columns().len() + LEADING);
        Self { schema, batch, invalid, ids }
    }

    /// The columns' description.
    pub fn schema(&self) -> &Arc<RecordSchema> {
        &self.schema
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// The Arrow batch itself.
    pub fn arrow(&self) -> &RecordBatch {
        &self.batch
    }

    /// Event times, milliseconds since the epoch; never null.
    pub fn event_times(&self) -> &Int64Array {
        self.batch.column(0).as_primitive::<Int64Type>()
    }

    /// Tenants; null where a record states none.
    pub fn tenants(&self) -> &DictionaryArray<Int32Type> {
        self.batch.column(1).as_dictionary::<Int32Type>()
    }

    /// Versions; never null.
    pub fn versions(&self) -> &DictionaryArray<Int32Type> {
        self.batch.column(2).as_dictionary::<Int32Type>()
    }

    /// Numbers of column `index` of the schema, which is numeric.
    pub fn numbers(&self, index: usize) -> &Float64Array {
        self.batch.column(index + LEADING).as_primitive::<Float64Type>()
    }

    /// Names of column `index` of the schema, which is categorical.
    pub fn names(&self, index: usize) -> &DictionaryArray<Int32Type> {
        self.batch.column(index + LEADING).as_dictionary::<Int32Type>()
    }

    /// Stable hash of the id of `row`; none where the record states none, or nobody needed it.
    pub fn id_hash(&self, row: usize) -> Option<u64> {
        self.ids.get(row).copied().flatten()
    }

    /// Rows of column `index` that held a value of the wrong type, ascending.
    pub fn invalid(&self, index: usize) -> &[u32] {
        &self.invalid[index]
    }
}

/// The names of a dictionary column by key, without its nulls.
pub(crate) fn dictionary_values(array: &DictionaryArray<Int32Type>) -> Vec<&str> {
    let values = array.values().as_string::<i32>();
    (0..values.len()).map(|i| values.value(i)).collect()
}
