//! One pass over a JSON document that keeps the values at the planned places and skips the rest.
//! Built on serde_json's streaming parser: no tree is made, and a value that nobody mapped costs
//! only its bytes. What that parser need not decide is read by `quick`, at a third of its cost.

mod quick;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::mapping::Plan;

/// A scalar as it stood in the document.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Scalar {
    /// The place is not in the document.
    #[default]
    Absent,
    Null,
    Bool,
    Integer(i64),
    /// Not an integer, or one beyond 64 bits.
    Float(f64),
    Text,
    /// An object or an array where a scalar was mapped.
    Nested,
}

/// A scalar, with its text where the document or the mapping has it as text.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Value {
    pub(super) scalar: Scalar,
    text: (u32, u32),
}

impl Value {
    /// A text that is kept elsewhere.
    pub(super) fn of_text() -> Self {
        Self { scalar: Scalar::Text, text: (0, 0) }
    }
}

/// The values of one record. Kept between records so that nothing is allocated anew.
#[derive(Debug, Default)]
pub(super) struct Values {
    shared: Vec<Value>,
    by_row: Vec<Vec<Value>>,
    /// Elements of the array at each node, where one was there.
    lengths: Vec<usize>,
    arena: String,
    /// Texts made on the quick way, until they enter the arena.
    made: String,
    /// Per node, which key followed last time: on none, then on each key. Kept from record to record.
    order: Vec<Vec<usize>>,
}

impl Values {
    pub(super) fn reset(&mut self, plan: &Plan) {
        let slots = plan.slots.len();
        self.lengths.clear();
        self.lengths.resize(plan.nodes.len(), 0);
        self.shared.clear();
        self.shared.resize(slots, Value::default());
        self.by_row.resize_with(slots, Vec::new);
        self.by_row.iter_mut().for_each(Vec::clear);
        self.arena.clear();
        if self.order.len() != plan.nodes.len() {
            // Until a record has shown its order, that of the mapping is as good as any.
            self.order = plan.nodes.iter().map(|node| (0..=node.keys.len()).collect()).collect();
        }
    }

    /// The value of `slot` in `row`.
    pub(super) fn get(&self, slot: usize, by_row: bool, row: usize) -> Value {
        if by_row { self.by_row[slot].get(row).copied().unwrap_or_default() } else { self.shared[slot] }
    }

    /// Elements of the array at `node`; 0 where there is none.
    pub(super) fn length(&self, node: usize) -> usize {
        self.lengths[node]
    }

    pub(super) fn text(&self, value: Value) -> &str {
        &self.arena[value.text.0 as usize..value.text.1 as usize]
    }

    /// Sets a value that does not come from the document.
    pub(super) fn set_text(&mut self, slot: usize, text: &str) {
        let value = self.store(Scalar::Text, Some(text));
        self.shared[slot] = value;
    }

    fn store(&mut self, scalar: Scalar, text: Option<&str>) -> Value {
        let start = self.arena.len() as u32;
        self.arena.push_str(text.unwrap_or_default());
        Value { scalar, text: (start, self.arena.len() as u32) }
    }

    #[inline]
    fn set(&mut self, slot: usize, row: Option<usize>, value: Value) {
        match row {
            None => self.shared[slot] = value,
            Some(row) => {
                let values = &mut self.by_row[slot];
                if values.len() <= row {
                    values.resize(row + 1, Value::default());
                }
                values[row] = value;
            }
        }
    }
}

/// Why a document could not be read.
#[derive(Debug)]
pub(super) enum Fault {
    Syntax(serde_json::Error),
    NotAnObject,
    TooManyRows,
}

/// Reads the document `json` into `values`, which are reset; at most `most_rows` elements of any
/// array of rows.
pub(super) fn read(plan: &Plan, json: &str, most_rows: usize, values: &mut Values) -> Result<(), Fault> {
    if quick::read(plan, json, most_rows, values) {
        return Ok(());
    }
    values.reset(plan);
    read_thoroughly(plan, json, most_rows, values)
}

fn read_thoroughly(plan: &Plan, json: &str, most_rows: usize, values: &mut Values) -> Result<(), Fault> {
    let first = json.trim_start().as_bytes().first().copied();
    let mut too_many = false;
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let walk = Walk { plan, node: 0, row: None, most_rows, values, too_many: &mut too_many };
    let result = walk.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    match result {
        _ if too_many => Err(Fault::TooManyRows),
        Err(error) => Err(Fault::Syntax(error)),
        Ok(()) if first != Some(b'{') => Err(Fault::NotAnObject),
        Ok(()) => Ok(()),
    }
}

struct Walk<'a> {
    plan: &'a Plan,
    node: usize,
    row: Option<usize>,
    most_rows: usize,
    values: &'a mut Values,
    too_many: &'a mut bool,
}

impl Walk<'_> {
    fn scalar(self, scalar: Scalar, text: impl FnOnce() -> Option<String>) {
        if let Some(slot) = self.plan.nodes[self.node].slot {
            let text = if self.plan.slots[slot].as_text { text() } else { None };
            let value = self.values.store(scalar, text.as_deref());
            self.values.set(slot, self.row, value);
        }
    }

    fn down(&mut self, node: usize, row: Option<usize>) -> Walk<'_> {
        Walk {
            plan: self.plan,
            node,
            row,
            most_rows: self.most_rows,
            values: self.values,
            too_many: self.too_many,
        }
    }

    /// A place that holds an object or array although a scalar was mapped there.
    fn nested(&mut self) {
        if let Some(slot) = self.plan.nodes[self.node].slot {
            let value = self.values.store(Scalar::Nested, None);
            self.values.set(slot, self.row, value);
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.scalar(Scalar::Null, || None);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.scalar(Scalar::Bool, || Some(value.to_string()));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.scalar(Scalar::Integer(value), || Some(value.to_string()));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        let scalar = i64::try_from(value).map_or(Scalar::Float(value as f64), Scalar::Integer);
        self.scalar(scalar, || Some(value.to_string()));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.scalar(Scalar::Float(value), || Some(value.to_string()));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if let Some(slot) = self.plan.nodes[self.node].slot {
            let value = self.values.store(Scalar::Text, Some(text));
            self.values.set(slot, self.row, value);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.nested();
        let plan = self.plan;
        while let Some(child) = map.next_key_seed(KeyOf { plan, node: self.node })? {
            match child {
                Some(node) => {
                    let row = self.row;
                    map.next_value_seed(self.down(node, row))?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        self.nested();
        let node = &self.plan.nodes[self.node];
        if node.is_leaf() {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        let mut index = 0;
        loop {
            let (child, row) = match node.each {
                Some(each) => (Some(each), Some(index)),
                None => (node.child(&index.to_string()), self.row),
            };
            if node.each.is_some() && index >= self.most_rows {
                *self.too_many |= seq.next_element::<IgnoredAny>()?.is_some();
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                self.values.lengths[self.node] = index;
                return Ok(());
            }
            let more = match child {
                Some(child) => seq.next_element_seed(self.down(child, row))?.is_some(),
                None => seq.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                self.values.lengths[self.node] = index;
                return Ok(());
            }
            index += 1;
        }
    }
}

/// Reads a key and says which child of the node it names, without keeping the key.
struct KeyOf<'a> {
    plan: &'a Plan,
    node: usize,
}

impl<'de> DeserializeSeed<'de> for KeyOf<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyOf<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.plan.nodes[self.node].child(key))
    }
}

/// The document with the bare tokens `NaN`, `Infinity` and `-Infinity` put in quotes, or none if it
/// has no such token. They are not JSON, but Python's json module writes them by default.
pub(crate) fn quote_non_finite(json: &str) -> Option<String> {
    const TOKENS: [&str; 3] = ["NaN", "-Infinity", "Infinity"];
    let mut out = String::new();
    let (mut rest, mut in_string, mut found) = (json, false, false);
    while let Some(next) = rest.chars().next() {
        let token = TOKENS.iter().find(|token| !in_string && rest.starts_with(**token));
        let step = match (token, in_string, next) {
            (Some(token), ..) => {
                found = true;
                out.extend(["\"", token, "\""]);
                rest = &rest[token.len()..];
                continue;
            }
            (None, true, '\\') => 1 + rest.chars().nth(1).map_or(0, char::len_utf8),
            (None, _, '"') => {
                in_string = !in_string;
                1
            }
            (None, _, other) => other.len_utf8(),
        };
        out.push_str(&rest[..step]);
        rest = &rest[step..];
    }
    found.then_some(out)
}
