//! What the cells of a pane mean: bin edges, categories and groups, frozen by the reference profile
//! or by the configuration before the first record is counted. Counts of different layouts never
//! merge.

use serde::{Deserialize, Serialize};

use crate::stats::stable_hash::StableHash;

/// Cells of a numeric column: `[underflow, bins …, overflow, null, nan, invalid]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NumericLayout {
    /// Ascending. A value's cell is the number of bounds that are not above it, so the first cell
    /// is below the first bound and the last is from the last bound on. The first bound is the
    /// reference's minimum and the last the next number above its maximum, so the outer two cells
    /// are underflow and overflow. Empty without a reference: then one cell holds every value.
    pub bounds: Vec<f64>,
}

impl NumericLayout {
    /// Cells that hold values: underflow, bins, overflow.
    pub fn value_cells(&self) -> usize {
        self.bounds.len() + 1
    }

    /// All cells.
    pub fn cells(&self) -> usize {
        self.value_cells() + 3
    }

    /// Cell of absent values.
    pub fn null(&self) -> usize {
        self.value_cells()
    }

    /// Cell of NaN.
    pub fn nan(&self) -> usize {
        self.value_cells() + 1
    }

    /// Cell of values of the wrong type.
    pub fn invalid(&self) -> usize {
        self.value_cells() + 2
    }

    /// Cell of `value`; infinities fall into underflow and overflow.
    pub fn cell(&self, value: f64) -> usize {
        if value.is_nan() { self.nan() } else { self.bounds.partition_point(|bound| *bound <= value) }
    }
}

/// Cells of a categorical column: `[categories …, other, unseen, null, invalid]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CategoryLayout {
    /// Most frequent categories of the reference, most frequent first.
    pub categories: Vec<String>,
    /// Its further categories, sorted; all count as `other`.
    #[serde(default)]
    pub rest: Vec<String>,
    /// Whether a value outside both lists is `unseen` (the lists are complete) or `other`.
    pub complete: bool,
}

impl CategoryLayout {
    /// All cells.
    pub fn cells(&self) -> usize {
        self.categories.len() + 4
    }

    /// Cell of the rarer reference categories.
    pub fn other(&self) -> usize {
        self.categories.len()
    }

    /// Cell of values that the reference never showed.
    pub fn unseen(&self) -> usize {
        self.categories.len() + 1
    }

    /// Cell of absent values.
    pub fn null(&self) -> usize {
        self.categories.len() + 2
    }

    /// Cell of values of the wrong type.
    pub fn invalid(&self) -> usize {
        self.categories.len() + 3
    }

    /// Cell of `name`. Linear in the number of categories: call it once per distinct name.
    pub fn cell(&self, name: &str) -> usize {
        if let Some(cell) = self.categories.iter().position(|category| category == name) {
            return cell;
        }
        let known = self.rest.binary_search_by(|category| category.as_str().cmp(name)).is_ok();
        if known || !self.complete { self.other() } else { self.unseen() }
    }
}

/// Cells of one column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ColumnLayout {
    /// Numbers on bins.
    Numeric(NumericLayout),
    /// Names on categories.
    Categorical(CategoryLayout),
}

impl ColumnLayout {
    /// Number of cells.
    pub fn cells(&self) -> usize {
        match self {
            Self::Numeric(layout) => layout.cells(),
            Self::Categorical(layout) => layout.cells(),
        }
    }

    /// Cell of absent values.
    pub fn null(&self) -> usize {
        match self {
            Self::Numeric(layout) => layout.null(),
            Self::Categorical(layout) => layout.null(),
        }
    }

    /// Cell of values of the wrong type.
    pub fn invalid(&self) -> usize {
        match self {
            Self::Numeric(layout) => layout.invalid(),
            Self::Categorical(layout) => layout.invalid(),
        }
    }
}

/// Groups of one protected attribute or of an intersection of several. Rows without a value of the
/// attribute are in no group; values that were not declared share the last group, `other`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupLayout {
    /// Attribute, or `a*b` for an intersection.
    pub name: String,
    /// Names of the attributes, one unless it is an intersection.
    pub attributes: Vec<String>,
    /// Names of the groups, `other` last; for an intersection `x*y`, the last attribute fastest.
    pub values: Vec<String>,
}

/// Everything that decides what a pane's counts mean.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Layout {
    /// The counted columns: features, then the prediction, the score and the anomaly score where there
    /// are any.
    pub columns: Vec<NamedColumn>,
    /// Declared values per protected attribute, by configured name; `other` is implied.
    pub attributes: Vec<(String, Vec<String>)>,
    /// Groups whose outcomes are counted: the attributes, then the intersections.
    pub groups: Vec<GroupLayout>,
    /// Declared values per segment column; `other` is implied.
    pub segments: Vec<(String, Vec<String>)>,
    /// Classes of a multiclass model, for its confusion matrix; `other` is implied.
    pub classes: Vec<String>,
    /// Texts of a prediction or label that mean the positive outcome.
    pub positive: Vec<String>,
    /// Where no prediction is logged: the score from which on it is positive.
    #[serde(default)]
    pub threshold: Option<f64>,
}

/// A counted column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedColumn {
    /// Feature name, `prediction`, `score` or `anomaly`.
    pub name: String,
    /// Whether it is an output (`prediction`, `score`, `anomaly`) and not a feature.
    #[serde(default)]
    pub output: bool,
    /// Its cells.
    pub layout: ColumnLayout,
}

/// Name of the column of anomaly scores. It is an output, though of plimsoll and not of the model.
pub const ANOMALY: &str = "anomaly";

/// Name of the group or segment of all values that were not declared.
pub const OTHER: &str = "other";

impl Layout {
    /// A hash of everything that its cells mean: the same for the same layout in every process.
    pub fn id(&self) -> u64 {
        let text = serde_json::to_string(self).expect("a layout has text keys and finite bounds");
        StableHash::new(0).bytes(text.as_bytes()).finish()
    }

    /// Adds the attributes as groups, and `intersections` (lists of attribute names) as products.
    pub fn build_groups(&mut self, intersections: &[Vec<String>]) {
        self.groups.clear();
        let singles = self.attributes.iter().map(|(name, _)| vec![name.clone()]);
        let all: Vec<Vec<String>> = singles.chain(intersections.iter().cloned()).collect();
        for attributes in all {
            let mut values = vec![String::new()];
            for attribute in &attributes {
                let declared = self.attributes.iter().find(|(name, _)| name == attribute);
                let declared = declared.map(|(_, values)| values.as_slice()).unwrap_or_default();
                let with_other: Vec<&str> =
                    declared.iter().map(String::as_str).chain(std::iter::once(OTHER)).collect();
                values = values
                    .iter()
                    .flat_map(|prefix| {
                        with_other.iter().map(move |value| {
                            if prefix.is_empty() { (*value).to_owned() } else { format!("{prefix}*{value}") }
                        })
                    })
                    .collect();
            }
            self.groups.push(GroupLayout { name: attributes.join("*"), attributes, values });
        }
    }

    /// Index of the column of anomaly scores.
    pub fn anomaly(&self) -> Option<usize> {
        self.column(ANOMALY, true).map(|(index, _)| index)
    }

    /// Indexes of the features' columns; they come first.
    pub fn features(&self) -> impl Iterator<Item = usize> + '_ {
        self.columns.iter().enumerate().filter(|(_, column)| !column.output).map(|(index, _)| index)
    }

    /// Index and layout of the column called `name`, an output or a feature.
    pub fn column(&self, name: &str, output: bool) -> Option<(usize, &NamedColumn)> {
        self.columns.iter().enumerate().find(|(_, column)| column.name == name && column.output == output)
    }
}
