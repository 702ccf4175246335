//! Where each field of a record is found. All pointers of a topic, of all its models, become one
//! trie over the JSON document, so that a record is parsed once, in one pass, whatever it holds.

use std::collections::HashMap;
use std::sync::Arc;

pub use super::place::{FieldSource, Pointer, Segment};
use super::time::TimeUnit;
use crate::domain::ModelId;
use crate::record::RecordSchema;

/// Where the fields of one model's records are.
#[derive(Clone, Debug)]
pub struct ModelMapping {
    /// Columns of its records.
    pub schema: Arc<RecordSchema>,
    /// Whose model it is.
    pub tenant: Option<FieldSource>,
    /// Its version.
    pub version: FieldSource,
    /// When the prediction was made, and in which unit.
    pub time: (FieldSource, TimeUnit),
    /// The request's id; a record without it is rejected where it is mapped.
    pub id: Option<FieldSource>,
    /// Per column of the schema: where it is, and what a number is multiplied by.
    pub columns: Vec<(FieldSource, f64)>,
}

/// How the records of one topic are read.
#[derive(Clone, Debug)]
pub struct TopicMapping {
    /// Where a record names its model.
    pub model: FieldSource,
    /// The models that the topic carries.
    pub models: Vec<ModelMapping>,
}

/// A field, resolved: a slot that decoding fills, or a constant.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Slot(usize),
    Literal(Box<str>),
}

/// A slot: one distinct place in a record.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SlotSpec {
    /// The node of the array whose elements are rows, for a slot with one value per row.
    pub(super) array: Option<usize>,
    /// Some field reads it as text, so numbers are kept as text too.
    pub(super) as_text: bool,
}

#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) slot: Option<usize>,
    pub(super) each: Option<usize>,
    pub(super) keys: Vec<Key>,
    /// Numbers of the keys.
    index: HashMap<Box<str>, usize>,
}

/// A key of an object, and where it leads.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) text: Box<str>,
    pub(super) child: usize,
    /// As it stands in a document, with its quotes; none where it needs an escape.
    quoted: Option<Box<[u8]>>,
    /// The first eight bytes of `quoted`, and which of them there are: a comparison of words is
    /// much cheaper than one of texts, and keys are short.
    head: u64,
    mask: u64,
}

impl Key {
    fn new(text: &str, child: usize) -> Self {
        let plain = !text.bytes().any(|byte| matches!(byte, 0..0x20 | b'"' | b'\\'));
        let quoted = format!("\"{text}\"").into_bytes();
        let (mut head, mut mask) = ([0; 8], [0; 8]);
        for (at, byte) in quoted.iter().take(8).enumerate() {
            (head[at], mask[at]) = (*byte, 0xff);
        }
        Self {
            text: text.into(),
            child,
            quoted: plain.then(|| quoted.into()),
            head: u64::from_le_bytes(head),
            mask: u64::from_le_bytes(mask),
        }
    }

    /// Bytes of the key with its quotes, if `rest` begins with it as it is.
    #[inline]
    pub(super) fn begins(&self, rest: &[u8]) -> Option<usize> {
        let quoted = self.quoted.as_ref()?;
        let begins = match rest.first_chunk::<8>() {
            Some(head) if u64::from_le_bytes(*head) & self.mask != self.head => false,
            Some(_) if quoted.len() <= 8 => true,
            _ => rest.starts_with(quoted),
        };
        begins.then_some(quoted.len())
    }
}

/// Children up to this many are searched one by one, which is faster than hashing the key.
const FEW_KEYS: usize = 12;

impl Node {
    /// Number of `key`.
    pub(super) fn key(&self, key: &str) -> Option<usize> {
        if self.keys.len() <= FEW_KEYS {
            self.keys.iter().position(|known| &*known.text == key)
        } else {
            self.index.get(key).copied()
        }
    }

    /// The child under `key`.
    pub(super) fn child(&self, key: &str) -> Option<usize> {
        self.key(key).map(|number| self.keys[number].child)
    }

    fn add(&mut self, key: &str, child: usize) {
        self.index.insert(key.into(), self.keys.len());
        self.keys.push(Key::new(key, child));
    }

    pub(super) fn is_leaf(&self) -> bool {
        self.keys.is_empty() && self.each.is_none()
    }
}

/// All places of a topic's records.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) nodes: Vec<Node>,
    pub(super) slots: Vec<SlotSpec>,
    pub(super) headers: Vec<(Box<str>, usize)>,
    known: HashMap<FieldSource, usize>,
}

impl Plan {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()], slots: Vec::new(), headers: Vec::new(), known: HashMap::new() }
    }

    /// The place of `source`; `as_text` where it is read as text.
    pub(super) fn place(&mut self, source: &FieldSource, as_text: bool) -> Place {
        if let FieldSource::Literal(text) = source {
            return Place::Literal(text.as_str().into());
        }
        let slot = match self.known.get(source) {
            Some(slot) => *slot,
            None => {
                let slot = self.slots.len();
                self.slots.push(SlotSpec::default());
                match source {
                    FieldSource::Pointer(pointer) => self.insert(pointer, slot),
                    FieldSource::Header(name) => self.headers.push((name.as_str().into(), slot)),
                    FieldSource::Literal(_) => {}
                }
                self.known.insert(source.clone(), slot);
                slot
            }
        };
        self.slots[slot].as_text |= as_text;
        Place::Slot(slot)
    }

    fn insert(&mut self, pointer: &Pointer, slot: usize) {
        let mut node = 0;
        for segment in pointer.segments() {
            if *segment == Segment::Each {
                self.slots[slot].array = Some(node);
            }
            let next = match segment {
                Segment::Each => self.nodes[node].each,
                Segment::Key(key) => self.nodes[node].child(key),
            };
            node = match next {
                Some(next) => next,
                None => {
                    let next = self.nodes.len();
                    self.nodes.push(Node::default());
                    let parent = &mut self.nodes[node];
                    match segment {
                        Segment::Each => parent.each = Some(next),
                        Segment::Key(key) => parent.add(key, next),
                    }
                    next
                }
            };
        }
        self.nodes[node].slot = Some(slot);
    }
}

/// A model, with its places.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) model: ModelId,
    pub(super) schema: Arc<RecordSchema>,
    pub(super) tenant: Option<Place>,
    pub(super) version: Place,
    pub(super) time: (Place, TimeUnit),
    pub(super) id: Option<Place>,
    pub(super) columns: Vec<(Place, f64)>,
    /// Slots of this model that hold one value per row.
    pub(super) by_row: Vec<usize>,
}

impl Resolved {
    pub(super) fn new(mapping: &ModelMapping, plan: &mut Plan) -> Self {
        let columns: Vec<(Place, f64)> = mapping
            .columns
            .iter()
            .zip(mapping.schema.columns())
            .map(|((source, scale), column)| {
                (plan.place(source, column.kind == crate::record::Kind::Categorical), *scale)
            })
            .collect();
        let tenant = mapping.tenant.as_ref().map(|source| plan.place(source, true));
        let version = plan.place(&mapping.version, true);
        let time = (plan.place(&mapping.time.0, true), mapping.time.1);
        let id = mapping.id.as_ref().map(|source| plan.place(source, false));
        let used =
            columns.iter().map(|(place, _)| place).chain(&tenant).chain(&id).chain([&version, &time.0]);
        let mut by_row: Vec<usize> = used
            .filter_map(|place| match place {
                Place::Slot(slot) if plan.slots[*slot].array.is_some() => Some(*slot),
                _ => None,
            })
            .collect();
        by_row.sort_unstable();
        by_row.dedup();
        Self {
            model: mapping.schema.model.clone(),
            schema: Arc::clone(&mapping.schema),
            tenant,
            version,
            time,
            id,
            columns,
            by_row,
        }
    }
}
