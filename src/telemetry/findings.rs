//! Findings as samples: which metric of the catalogue shows which metric of the domain.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::catalogue::Id;
use super::from_view::{verdict_name, verdicts};
use super::page::{Page, Value};
use crate::check::sequential::Slot;
use crate::domain::metric::Family;
use crate::domain::{Bound, Finding, Metric, Scope, Segment, Tenant, Verdict};

/// Groups with fewer rows are not shown, so that a rate says nothing about a single person: the
/// smallest count that may be published under the cell rule of the US Centers for Medicare &
/// Medicaid Services, which suppresses 1 to 10.
const SMALLEST_GROUP: u64 = 11;

/// What a slot says that may not act, in the `verdict` label.
const SHADOW: &str = "shadow";

/// Adds the findings about whole models to a page.
pub(super) fn collect(findings: &[&Arc<Finding>], page: &mut Page) {
    let mut checks: BTreeMap<[&str; 4], Check> = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.segment == Segment::All) {
        let labels = labels(finding);
        value(finding, labels, page);
        bounds(finding, labels, page);
        slot(finding, labels, page);
        checks.entry(labels).or_default().add(finding);
    }
    for (labels, check) in checks {
        check.show(labels, page);
    }
}

/// Tenant, model, version and check.
fn labels(finding: &Finding) -> [&str; 4] {
    let tenant = finding.tenant.as_ref().map_or("", Tenant::as_str);
    [tenant, finding.model.as_str(), finding.version.as_str(), &finding.check]
}

/// What the findings of one check add up to.
#[derive(Default)]
struct Check {
    verdicts: BTreeMap<&'static str, u64>,
    /// Sequential verdicts; empty where no policy that decides sequentially follows the check.
    slots: BTreeMap<&'static str, u64>,
    samples: u64,
    judged_features: u64,
    drifted_features: u64,
}

impl Check {
    fn add(&mut self, finding: &Finding) {
        *self.verdicts.entry(verdict_name(finding.verdict)).or_default() += 1;
        if let Some(sequential) = &finding.sequential {
            let verdict = if sequential.shadow.is_some() { SHADOW } else { sequential.verdict.name() };
            *self.slots.entry(verdict).or_default() += 1;
        }
        self.samples = self.samples.max(finding.n);
        let is_feature = matches!(finding.scope, Scope::Feature { .. });
        if is_feature && finding.metric.family() == Family::Drift {
            self.judged_features +=
                u64::from(matches!(finding.verdict, Some(Verdict::Pass | Verdict::Breach)));
            self.drifted_features += u64::from(finding.verdict == Some(Verdict::Breach));
        }
    }

    fn show(&self, [tenant, model, version, check]: [&str; 4], page: &mut Page) {
        for verdict in verdicts().map(verdict_name) {
            let count = self.verdicts.get(verdict).copied().unwrap_or(0);
            page.set(Id::CheckFindings, &[tenant, model, version, check, verdict], Value::Count(count));
        }
        if !self.slots.is_empty() {
            for verdict in Verdict::ALL.into_iter().map(Verdict::name).chain([SHADOW]) {
                let count = self.slots.get(verdict).copied().unwrap_or(0);
                page.set(Id::CheckSlots, &[tenant, model, version, check, verdict], Value::Count(count));
            }
        }
        page.set(Id::WindowSamples, &[tenant, model, version, check], Value::Count(self.samples));
        if self.judged_features > 0 {
            let share = self.drifted_features as f64 / self.judged_features as f64;
            page.number(Id::DriftedFeatures, &[tenant, model, version, check], share, true);
        }
    }
}

/// What the sequential layer says of one slot. Findings of a limit name the extreme groups of their
/// window; the slot is the attribute's.
fn slot(finding: &Finding, [tenant, model, version, check]: [&str; 4], page: &mut Page) {
    let Some(sequential) = &finding.sequential else { return };
    let scope = Slot::key_of(finding.metric, &finding.scope);
    let labels = [tenant, model, version, check, scope.as_str()];
    let acts = sequential.shadow.is_none();
    let mut show = |id: Id, value: f64| page.number(id, &labels, value, acts);
    if let Some(log_e) = sequential.log_e {
        show(Id::LogEValue, log_e);
    }
    show(Id::LogEValueThreshold, sequential.log_threshold);
    show(Id::SlotShadow, if acts { 0.0 } else { 1.0 });
    show(Id::BudgetShare, sequential.share);
    let per = sequential.per_seconds as f64;
    page.number(Id::BudgetPeriod, &[tenant, model, version, check], per, true);
}

fn bounds(finding: &Finding, [tenant, model, version, check]: [&str; 4], page: &mut Page) {
    let (low, high) = match finding.bound {
        None => return,
        Some(Bound::AtMost(high)) => (None, Some(high)),
        Some(Bound::AtLeast(low)) => (Some(low), None),
        Some(Bound::Between(low, high)) => (Some(low), Some(high)),
    };
    let labels = [tenant, model, version, check, finding.metric.name()];
    for (id, limit) in [(Id::CheckLowerBound, low), (Id::CheckUpperBound, high)] {
        if let Some(limit) = limit {
            page.number(id, &labels, limit, true);
        }
    }
}

fn value(finding: &Finding, [tenant, model, version, check]: [&str; 4], page: &mut Page) {
    let Some(value) = finding.value else { return };
    let bounded = finding.bound.is_some();
    let mut show = |id: Id, labels: &[&str], value: f64| page.number(id, labels, value, bounded);
    match (shown_as(finding.metric), &finding.scope) {
        (Shown::Column { feature: id, .. }, Scope::Feature { feature: name })
        | (Shown::Column { output: id, .. }, Scope::Output { output: name }) => {
            show(id, &[tenant, model, version, check, name], value);
        }
        (Shown::Whole(id), Scope::Model {}) => show(id, &[tenant, model, version, check], value),
        (Shown::Rate(rate), Scope::Group { group: attribute, values }) => {
            let [group] = values.as_slice() else { return };
            if finding.n < SMALLEST_GROUP {
                return;
            }
            let labels = [tenant, model, version, check, attribute, group, rate];
            show(Id::FairnessRate, &labels, value);
            show(Id::FairnessGroupSamples, &labels[..6], finding.n as f64);
            if let Some([low, high]) = finding.interval {
                show(Id::FairnessRateLower, &labels, low);
                show(Id::FairnessRateUpper, &labels, high);
            }
        }
        (Shown::Gap(rate), Scope::Group { group: attribute, .. }) => {
            let labels = [tenant, model, version, check, attribute, rate];
            show(Id::FairnessGap, &labels, value);
            if let Some([low, high]) = finding.interval {
                show(Id::FairnessGapLower, &labels, low);
                show(Id::FairnessGapUpper, &labels, high);
            }
        }
        (Shown::Impact, Scope::Group { group: attribute, .. }) => {
            let labels = [tenant, model, version, check, attribute];
            show(Id::FairnessImpact, &labels, value);
            if let Some([low, high]) = finding.interval {
                show(Id::FairnessImpactLower, &labels, low);
                show(Id::FairnessImpactUpper, &labels, high);
            }
        }
        // A metric about something that no metric of the catalogue is about: only the API has it.
        _ => {}
    }
}

/// How a metric of the domain is shown.
enum Shown {
    /// For each feature, and for each output of the model.
    Column { feature: Id, output: Id },
    /// For the model as a whole.
    Whole(Id),
    /// For each group of a protected attribute.
    Rate(&'static str),
    /// As a difference over the groups of an attribute.
    Gap(&'static str),
    /// As a ratio over the groups of an attribute.
    Impact,
}

fn shown_as(metric: Metric) -> Shown {
    let column = |feature, output| Shown::Column { feature, output };
    match metric {
        Metric::Psi => column(Id::FeaturePsi, Id::PredictionPsi),
        Metric::JensenShannon => column(Id::FeatureJs, Id::PredictionJs),
        Metric::Hellinger => column(Id::FeatureHellinger, Id::PredictionHellinger),
        Metric::TotalVariation => column(Id::FeatureTotalVariation, Id::PredictionTotalVariation),
        Metric::ChiSquared => column(Id::FeatureChiSquared, Id::PredictionChiSquared),
        Metric::KolmogorovSmirnov => column(Id::FeatureKs, Id::PredictionKs),
        Metric::Wasserstein => column(Id::FeatureWasserstein, Id::PredictionWasserstein),
        Metric::WassersteinNormalized => {
            column(Id::FeatureWassersteinNormalized, Id::PredictionWassersteinNormalized)
        }
        Metric::NullRate => column(Id::FeatureMissing, Id::PredictionMissing),
        Metric::InvalidRate => column(Id::FeatureInvalid, Id::PredictionInvalid),
        Metric::UnseenRate => column(Id::FeatureUnseen, Id::PredictionUnseen),
        Metric::OutOfRangeRate => column(Id::FeatureOutOfRange, Id::PredictionOutOfRange),
        Metric::SelectionRate => Shown::Rate("selection"),
        Metric::SelectionRateDifference => Shown::Gap("selection"),
        Metric::SelectionRateRatio => Shown::Impact,
        Metric::TruePositiveRateDifference => Shown::Gap("true_positive"),
        Metric::FalsePositiveRateDifference => Shown::Gap("false_positive"),
        Metric::EqualizedOddsDifference => Shown::Gap("equalized_odds"),
        Metric::Accuracy => Shown::Whole(Id::Accuracy),
        Metric::Precision => Shown::Whole(Id::Precision),
        Metric::Recall => Shown::Whole(Id::Recall),
        Metric::F1 => Shown::Whole(Id::F1),
        Metric::Brier => Shown::Whole(Id::Brier),
        Metric::LogLoss => Shown::Whole(Id::LogLoss),
        Metric::ExpectedCalibrationError => Shown::Whole(Id::CalibrationError),
        Metric::TrafficVolume => Shown::Whole(Id::WindowRows),
        Metric::Latency => Shown::Whole(Id::Latency),
        Metric::AnomalyRate => Shown::Whole(Id::AnomalyRate),
    }
}
