//! The samples of one page, collected by metric, checked and then encoded. Everything that is
//! shown passes here, so the rules hold once for all: values are finite, labels are those of the
//! catalogue, a label set occurs once, and no metric exceeds its limit of series.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabel, EncodeLabelSet, LabelSetEncoder, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit as EncodedUnit;

use super::catalogue::{Id, Kind, Series, Spec, Unit};

/// The values of a metric's labels, in the order of the catalogue.
pub(super) type Labels = Vec<String>;

/// One number of a page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    /// A count.
    Count(u64),
    /// Anything else; never NaN or infinite.
    Number(f64),
}

impl Value {
    fn encode(self, kind: Kind, metric: &mut MetricEncoder<'_>) -> fmt::Result {
        match (kind, self) {
            (Kind::Counter, Self::Count(count)) => {
                metric.encode_counter::<NoLabelSet, u64, f64>(&count, None)
            }
            (Kind::Counter, Self::Number(number)) => {
                metric.encode_counter::<NoLabelSet, f64, f64>(&number, None)
            }
            (_, Self::Count(count)) => metric.encode_gauge(&i64::try_from(count).unwrap_or(i64::MAX)),
            (_, Self::Number(number)) => metric.encode_gauge(&number),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    value: Value,
    /// Kept before others where a metric is at its limit.
    bounded: bool,
}

/// Observations of a histogram.
#[derive(Clone, Debug)]
pub(super) struct Buckets {
    /// Upper limit of each bucket, ascending, the last infinite.
    pub(super) limits: &'static [f64],
    /// Observations in each, not cumulative.
    pub(super) counts: Vec<u64>,
    /// Sum of all observations.
    pub(super) sum: f64,
}

impl Buckets {
    /// Without any observation.
    pub(super) fn new(limits: &'static [f64]) -> Self {
        Self { limits, counts: vec![0; limits.len()], sum: 0.0 }
    }

    /// Adds one.
    pub(super) fn observe(&mut self, value: f64) {
        // The last limit is infinite, so the position exists.
        let index = self.limits.partition_point(|limit| *limit < value);
        self.counts[index] += 1;
        self.sum += value;
    }

    /// How many series it is: one for each bucket, its sum and its count.
    fn series(&self) -> usize {
        self.counts.len() + 2
    }

    fn encode(&self, metric: &mut MetricEncoder<'_>) -> fmt::Result {
        let pairs: Vec<(f64, u64)> = self.limits.iter().copied().zip(self.counts.iter().copied()).collect();
        metric.encode_histogram::<NoLabelSet>(self.sum, self.counts.iter().sum(), &pairs, None)
    }
}

/// What one page shows.
#[derive(Debug, Default)]
pub(super) struct Page {
    samples: BTreeMap<Id, BTreeMap<Labels, Sample>>,
    histograms: BTreeMap<Id, BTreeMap<Labels, Buckets>>,
}

impl Page {
    /// Shows `value`. A later value for the same labels replaces it.
    pub(super) fn set(&mut self, id: Id, labels: &[&str], value: Value) {
        self.put(id, labels, Sample { value, bounded: true });
    }

    /// Shows a number of the domain; one that is not finite is not shown, since absence is how
    /// "not computable" is said. `bounded` tells whether a check has a bound on it: those are the
    /// last to go where there are too many series.
    pub(super) fn number(&mut self, id: Id, labels: &[&str], value: f64, bounded: bool) {
        if value.is_finite() {
            self.put(id, labels, Sample { value: Value::Number(value), bounded });
        }
    }

    /// Adds to what is shown already.
    pub(super) fn add(&mut self, id: Id, labels: &[&str], more: u64) {
        let key = checked(id, labels);
        let slot = self.samples.entry(id).or_default().entry(key);
        let sample = slot.or_insert(Sample { value: Value::Count(0), bounded: true });
        if let Value::Count(count) = &mut sample.value {
            *count += more;
        }
    }

    /// Shows a histogram.
    pub(super) fn histogram(&mut self, id: Id, labels: &[&str], buckets: Buckets) {
        self.histograms.entry(id).or_default().insert(checked(id, labels), buckets);
    }

    fn put(&mut self, id: Id, labels: &[&str], sample: Sample) {
        self.samples.entry(id).or_default().insert(checked(id, labels), sample);
    }

    /// Cuts each metric down to its limit and returns how many series each lost. The limit of a histogram
    /// with a fixed list of labels is that of its labels.
    pub(super) fn limit(&mut self) -> Vec<(Id, u64)> {
        let mut dropped = Vec::new();
        for (&id, samples) in &mut self.samples {
            let limit = id.spec().series.limit();
            let Some(excess) = samples.len().checked_sub(limit).filter(|excess| *excess > 0) else {
                continue;
            };
            // Sorted by label set, so that the same series stay from page to page.
            let mut victims: Vec<(bool, Labels)> =
                samples.iter().map(|(labels, sample)| (sample.bounded, labels.clone())).collect();
            victims.sort_by(|a, b| (a.0, &b.1).cmp(&(b.0, &a.1)));
            for (_, labels) in victims.into_iter().take(excess) {
                samples.remove(&labels);
            }
            dropped.push((id, excess as u64));
        }
        for (&id, histograms) in &mut self.histograms {
            let (mut series, mut lost) = (0, 0);
            histograms.retain(|_, buckets| {
                series += buckets.series();
                let kept = matches!(id.spec().series, Series::One | Series::Fixed(_))
                    || series <= id.spec().series.limit();
                lost += if kept { 0 } else { buckets.series() as u64 };
                kept
            });
            if lost > 0 {
                dropped.push((id, lost));
            }
        }
        dropped
    }

    /// How many series the page has.
    pub(super) fn series(&self) -> usize {
        let histograms = self.histograms.values().flat_map(BTreeMap::values);
        let histograms: usize = histograms.map(Buckets::series).sum();
        self.samples.values().map(BTreeMap::len).sum::<usize>() + histograms
    }

    /// Writes the page in the order of the catalogue.
    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for &id in Id::ALL {
            let spec = id.spec();
            let unit = encoded_unit(spec.unit);
            if let Some(histograms) = self.histograms.get(&id) {
                let mut metric = encoder.encode_descriptor(
                    spec.stem(),
                    spec.help(),
                    unit.as_ref(),
                    MetricType::Histogram,
                )?;
                for (labels, buckets) in histograms {
                    if labels.is_empty() {
                        buckets.encode(&mut metric)?;
                    } else {
                        buckets.encode(&mut metric.encode_family(&Named { spec, values: labels })?)?;
                    }
                }
            }
            let Some(samples) = self.samples.get(&id).filter(|samples| !samples.is_empty()) else {
                continue;
            };
            let mut metric =
                encoder.encode_descriptor(spec.stem(), spec.help(), unit.as_ref(), metric_type(spec.kind))?;
            for (labels, sample) in samples {
                let labels = Named { spec, values: labels };
                if spec.kind == Kind::Info {
                    metric.encode_info(&labels)?;
                    continue;
                }
                if labels.values.iter().all(String::is_empty) {
                    // An empty family would be written as `{}`.
                    sample.value.encode(spec.kind, &mut metric)?;
                } else {
                    sample.value.encode(spec.kind, &mut metric.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

fn checked(id: Id, labels: &[&str]) -> Labels {
    debug_assert_eq!(labels.len(), id.spec().labels.len(), "labels of {}", id.spec().name);
    labels.iter().map(|value| (*value).to_owned()).collect()
}

fn encoded_unit(unit: Unit) -> Option<EncodedUnit> {
    match unit {
        Unit::None => None,
        Unit::Seconds => Some(EncodedUnit::Seconds),
        Unit::Bytes => Some(EncodedUnit::Bytes),
        // `Unit::Ratios` would name it `_ratios`, which Prometheus does not.
        Unit::Ratio => Some(EncodedUnit::Other("ratio".to_owned())),
    }
}

fn metric_type(kind: Kind) -> MetricType {
    match kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
        Kind::Info => MetricType::Info,
    }
}

/// Label values beside the names that the catalogue gives them.
#[derive(Debug)]
struct Named<'a> {
    spec: &'static Spec,
    values: &'a [String],
}

impl EncodeLabelSet for Named<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for (name, value) in self.spec.labels.iter().zip(self.values) {
            // To Prometheus an empty label is an absent one.
            if !value.is_empty() {
                (*name, value.as_str()).encode(encoder.encode_label())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_not_finite_is_not_shown() {
        let mut page = Page::default();
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            page.number(Id::CommitTimestamp, &[], value, true);
        }
        assert_eq!(page.series(), 0);
    }

    #[test]
    fn at_the_limit_series_without_a_bound_go_first_and_the_rest_is_counted() {
        let mut page = Page::default();
        let limit = Id::FeaturePsi.spec().series.limit();
        for index in 0..limit + 5 {
            let feature = format!("f{index:06}");
            page.number(Id::FeaturePsi, &["", "m", "1", "drift", &feature], 0.1, index >= limit);
        }
        assert_eq!(page.limit(), vec![(Id::FeaturePsi, 5)]);
        assert_eq!(page.series(), limit);
        let kept = &page.samples[&Id::FeaturePsi];
        let has = |feature: String| kept.keys().any(|labels| labels[4] == feature);
        assert!(has(format!("f{:06}", limit + 4)), "a series with a bound stays");
        assert!(!has(format!("f{:06}", limit - 1)), "one without a bound goes");
        assert!(has("f000000".to_owned()));
    }

    #[test]
    fn a_histogram_is_left_out_whole_where_it_would_go_beyond_the_limit() {
        let mut page = Page::default();
        let limits: &'static [f64] = &[1.0, f64::INFINITY];
        let limit = Id::ActionApply.spec().series.limit();
        for index in 0..limit / 4 + 2 {
            page.histogram(Id::ActionApply, &[&format!("a{index:06}")], Buckets::new(limits));
        }
        assert_eq!(page.limit(), vec![(Id::ActionApply, 8)]);
        assert_eq!(page.series(), limit);
        assert!(page.histograms[&Id::ActionApply].contains_key(["a000000".to_owned()].as_slice()));
    }
}
