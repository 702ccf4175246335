//! Counts on frozen cells: one unsigned integer per cell. What a cell means is the layout's
//! business; here they only add up.

use serde::{Deserialize, Serialize};

/// One count per cell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CellCounts(Vec<u64>);

impl CellCounts {
    /// `cells` cells, all empty.
    pub fn new(cells: usize) -> Self {
        Self(vec![0; cells])
    }

    /// Counts by cell.
    pub fn as_slice(&self) -> &[u64] {
        &self.0
    }

    /// Count of `cell`.
    pub fn get(&self, cell: usize) -> u64 {
        self.0[cell]
    }

    /// Adds one to `cell`.
    pub fn add(&mut self, cell: usize) {
        self.0[cell] += 1;
    }

    /// Sum over all cells.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Adds the counts of `other`, which has the same cells.
    pub fn merge(&mut self, other: &Self) {
        debug_assert_eq!(self.0.len(), other.0.len(), "cells of one layout");
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine += theirs;
        }
    }

    /// Takes away the counts of `other`, which were merged before.
    pub fn subtract(&mut self, other: &Self) {
        debug_assert_eq!(self.0.len(), other.0.len(), "cells of one layout");
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine -= theirs;
        }
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.0.len() * size_of::<u64>()
    }

    /// Appends the counts as LEB128 integers, shortest form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for count in &self.0 {
            leb128(u128::from(*count), out);
        }
    }
}

/// Appends `value` as an unsigned LEB128 integer (DWARF 5, section 7.6), shortest form.
pub(crate) fn leb128(mut value: u128, out: &mut Vec<u8>) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}
