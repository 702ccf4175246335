//! Collects decoded rows of one model into an `InferenceBatch`. A row is appended whole or not at
//! all, so a bad record cannot leave half a row behind.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::StringArray;
use arrow::array::{ArrayRef, DictionaryArray, Float64Builder, Int32Builder, Int64Builder, RecordBatch};
use arrow::datatypes::Int32Type;

use super::batch::InferenceBatch;
use super::schema::{Kind, RecordSchema};
use crate::domain::EventTime;
use crate::stats::stable_hash::StableHash;

/// One value of one row, as the decoder read it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// Absent or null.
    Null,
    /// Present, but not what the column holds.
    Invalid,
    /// A number; may be NaN or infinite.
    Number(f64),
    /// A name.
    Name(&'a str),
}

/// Keys that a name column remembers beside its map.
const MEMO: usize = 64;

/// Where in the memo a name's key is: names of one column differ in their ends, if anywhere.
fn memo_place(name: &str) -> usize {
    let bytes = name.as_bytes();
    let byte = |at: usize| bytes.get(at).map_or(0, |byte| usize::from(*byte));
    let (last, before) = (bytes.len().wrapping_sub(1), bytes.len().wrapping_sub(2));
    (byte(last) + 10 * byte(before) + 31 * byte(0) + bytes.len()) % MEMO
}

/// Names as dictionary keys: each distinct text of a batch is stored once.
#[derive(Debug)]
struct NameColumn {
    keys: Int32Builder,
    ids: HashMap<Box<str>, i32>,
    values: Vec<Box<str>>,
    /// Some keys by a weak hash of their names, so that a name that was seen before rarely costs
    /// the map's strong one. The strong one stays, because senders choose the names.
    memo: [Option<i32>; MEMO],
}

impl Default for NameColumn {
    fn default() -> Self {
        Self { keys: Int32Builder::new(), ids: HashMap::new(), values: Vec::new(), memo: [None; MEMO] }
    }
}

impl NameColumn {
    fn append(&mut self, name: Option<&str>) {
        let Some(name) = name else {
            self.keys.append_null();
            return;
        };
        let place = memo_place(name);
        if let Some(known) = self.memo[place]
            && &*self.values[known as usize] == name
        {
            self.keys.append_value(known);
            return;
        }
        let key = match self.ids.get(name) {
            Some(key) => *key,
            None => {
                let key = self.values.len() as i32;
                self.values.push(name.into());
                self.ids.insert(name.into(), key);
                key
            }
        };
        self.memo[place] = Some(key);
        self.keys.append_value(key);
    }

    fn finish(&mut self) -> ArrayRef {
        let values = StringArray::from_iter_values(self.values.iter());
        self.ids.clear();
        self.values.clear();
        self.memo = [None; MEMO];
        let keys = self.keys.finish();
        Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(values)))
    }
}

#[derive(Debug)]
enum ColumnBuilder {
    Numbers(Float64Builder),
    Names(Box<NameColumn>),
}

/// Builds batches of one model's records.
#[derive(Debug)]
pub struct BatchBuilder {
    schema: Arc<RecordSchema>,
    times: Int64Builder,
    tenants: NameColumn,
    versions: NameColumn,
    columns: Vec<ColumnBuilder>,
    invalid: Vec<Vec<u32>>,
    ids: Vec<Option<u64>>,
    rows: u32,
}

impl BatchBuilder {
    /// An empty builder for records of `schema`.
    pub fn new(schema: Arc<RecordSchema>) -> Self {
        let columns = schema
            .columns()
            .iter()
            .map(|column| match column.kind {
                Kind::Numeric => ColumnBuilder::Numbers(Float64Builder::new()),
                Kind::Categorical => ColumnBuilder::Names(Box::default()),
            })
            .collect();
        let invalid = vec![Vec::new(); schema.columns().len()];
        Self {
            schema,
            times: Int64Builder::new(),
            tenants: NameColumn::default(),
            versions: NameColumn::default(),
            columns,
            invalid,
            ids: Vec::new(),
            rows: 0,
        }
    }

    /// Rows appended since the last `finish`.
    pub fn rows(&self) -> usize {
        self.rows as usize
    }

    /// Appends one row, and remembers a hash of its id for those who sample by it.
    pub fn append_identified<'a>(
        &mut self,
        time: EventTime,
        tenant: Option<&str>,
        version: &str,
        id: Option<&str>,
        cells: impl IntoIterator<Item = Cell<'a>>,
    ) {
        if let Some(id) = id {
            self.ids.resize(self.rows as usize, None);
            self.ids.push(Some(StableHash::new(0).bytes(id.as_bytes()).finish()));
        }
        self.append(time, tenant, version, cells);
    }

    /// Appends one row. `cells` are in the schema's order; a cell that does not fit its column's
    /// kind is counted as invalid.
    pub fn append<'a>(
        &mut self,
        time: EventTime,
        tenant: Option<&str>,
        version: &str,
        cells: impl IntoIterator<Item = Cell<'a>>,
    ) {
        self.times.append_value(time.as_millis());
        self.tenants.append(tenant);
        self.versions.append(Some(version));
        let mut cells = cells.into_iter();
        for (column, invalid) in self.columns.iter_mut().zip(&mut self.invalid) {
            let cell = cells.next().unwrap_or(Cell::Null);
            match (column, cell) {
                (ColumnBuilder::Numbers(numbers), Cell::Number(value)) => numbers.append_value(value),
                (ColumnBuilder::Names(names), Cell::Name(name)) => names.append(Some(name)),
                (ColumnBuilder::Numbers(numbers), cell) => {
                    numbers.append_null();
                    if cell != Cell::Null {
                        invalid.push(self.rows);
                    }
                }
                (ColumnBuilder::Names(names), cell) => {
                    names.append(None);
                    if cell != Cell::Null {
                        invalid.push(self.rows);
                    }
                }
            }
        }
        self.rows += 1;
    }

    /// The rows appended so far as a batch; the builder is empty afterwards.
    pub fn finish(&mut self) -> InferenceBatch {
        let mut arrays: Vec<ArrayRef> =
            vec![Arc::new(self.times.finish()), self.tenants.finish(), self.versions.finish()];
        arrays.extend(self.columns.iter_mut().map(|column| match column {
            ColumnBuilder::Numbers(numbers) => Arc::new(numbers.finish()) as ArrayRef,
            ColumnBuilder::Names(names) => names.finish(),
        }));
        let batch = RecordBatch::try_new(Arc::clone(self.schema.arrow()), arrays)
            .expect("every column got one value per row, of the type its schema field has");
        let invalid = self.invalid.iter_mut().map(std::mem::take).collect();
        self.rows = 0;
        InferenceBatch::new(Arc::clone(&self.schema), batch, invalid, std::mem::take(&mut self.ids))
    }
}
