//! Every metric of plimsoll, once: its name, kind, unit, labels, help and how many series it may
//! have. The page, `docs/metrics.md` and the test over dashboards and alert rules are all made
//! from this list, so a metric cannot be shown, described or asked for under two names.
//!
//! Two statistics are two metrics, so that a sum over labels never mixes units. The one exception
//! are the bounds of checks, which are drawn beside a value and never summed.

mod kinds;

pub use kinds::{Kind, Series, Unit};

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Heading it stands under in the documentation.
    pub section: &'static str,
    /// Full name as it is queried, `_total` and `_info` included.
    pub name: &'static str,
    /// What it counts or shows.
    pub kind: Kind,
    /// Its base unit.
    pub unit: Unit,
    /// Its labels, in order. A label whose value is empty is not written.
    pub labels: &'static [&'static str],
    /// What its number of series grows with.
    pub series: Series,
    help: &'static str,
}

impl Spec {
    /// One sentence or more on what it shows: a single line without full stop at its end.
    pub fn help(&self) -> &'static str {
        self.help.trim().trim_end_matches('.')
    }

    /// The name without the suffixes that OpenMetrics adds by kind and unit.
    pub fn stem(&self) -> &'static str {
        let name = match self.kind {
            Kind::Counter => self.name.trim_end_matches("_total"),
            Kind::Info => self.name.trim_end_matches("_info"),
            Kind::Gauge | Kind::Histogram => self.name,
        };
        match name.strip_suffix(self.unit.name()) {
            Some(stem) if self.unit != Unit::None => stem.trim_end_matches('_'),
            _ => name,
        }
    }
}

macro_rules! catalogue {
    ($($section:literal { $(
        $(#[doc = $help:literal])+
        $id:ident = $name:literal $kind:ident $unit:ident [$($label:ident)*] $series:expr;
    )+ })+) => {
        /// A metric of the catalogue.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Id {
            $($($(#[doc = $help])+ $id,)+)+
        }

        impl Id {
            /// All metrics, in the order in which the page and the documentation list them.
            pub const ALL: &'static [Self] = &[$($(Self::$id),+),+];

            /// What the catalogue says of it.
            pub const fn spec(self) -> &'static Spec {
                match self {
                    $($(Self::$id => &Spec {
                        section: $section,
                        name: $name,
                        kind: Kind::$kind,
                        unit: Unit::$unit,
                        labels: &[$(stringify!($label)),*],
                        series: $series,
                        help: concat!($($help),+),
                    },)+)+
                }
            }
        }
    };
}

catalogue! {
    "Build and process" {
        /// Version and source revision of this daemon; always 1.
        Build = "plimsoll_build_info" Info None [version revision] Series::One;
        /// The configuration that windows are judged by, or that is to take effect: number and SHA-256, `state` is `in_effect` or `coming`; always 1.
        Configuration = "plimsoll_configuration_info" Info None [generation hash state] Series::Fixed(2);
        /// Reloads of the configuration that this instance was asked for, by what became of them.
        Reloads = "plimsoll_reloads_total" Counter None [outcome] Series::Fixed(5);
        /// Generations of the configuration that the observer heard of when it had read rows of them already.
        ConfigurationLate = "plimsoll_configuration_late_total" Counter None [] Series::One;
        /// Processor time of the daemon, user and system.
        ProcessCpu = "process_cpu_seconds_total" Counter Seconds [] Series::One;
        /// Resident memory of the daemon.
        ProcessMemory = "process_resident_memory_bytes" Gauge Bytes [] Series::One;
        /// Open file descriptors of the daemon.
        ProcessFds = "process_open_fds" Gauge None [] Series::One;
        /// When the daemon started.
        ProcessStart = "process_start_time_seconds" Gauge Seconds [] Series::One;
    }
    "Intake" {
        /// Records read from the source, those read again after a restart or a rebalance included.
        ConsumedRecords = "plimsoll_consumed_records_total" Counter None [topic partition] Series::PerPartition;
        /// Bytes of the keys and values of those records.
        ConsumedBytes = "plimsoll_consumed_bytes_total" Counter Bytes [topic partition] Series::PerPartition;
        /// Records that have been put into a class: the sum of used, late and rejected.
        AccountedRecords = "plimsoll_accounted_records_total" Counter None [topic] Series::PerTopic;
        /// Records of which at least one row entered a pane.
        UsedRecords = "plimsoll_used_records_total" Counter None [topic] Series::PerTopic;
        /// Records of which every row was behind the watermark of its own partition.
        LateRecords = "plimsoll_late_records_total" Counter None [topic] Series::PerTopic;
        /// Records that could not be used, by reason.
        RejectedRecords = "plimsoll_rejected_records_total" Counter None [topic reason] Series::PerTopic;
        /// Rows found in records; a batch request holds many.
        Rows = "plimsoll_rows_total" Counter None [topic] Series::PerTopic;
        /// Rows that entered no pane because they were late.
        LateRows = "plimsoll_late_rows_total" Counter None [topic] Series::PerTopic;
        /// Offsets that were gone before this instance could read them, because retention was faster; topics of the exchange included.
        LostRecords = "plimsoll_lost_records_total" Counter None [topic] Series::PerTopic;
        /// Rejected records that were handed to the dead-letter topic.
        DeadLetters = "plimsoll_dead_letters_total" Counter None [topic] Series::PerTopic;
        /// Records between the position of the reader and the end of the partition.
        Lag = "plimsoll_consumer_lag_records" Gauge None [topic partition] Series::PerPartition;
        /// Largest event time read from the partition.
        EventTimestamp = "plimsoll_event_timestamp_seconds" Gauge Seconds [topic partition] Series::PerPartition;
        /// Event time before which the partition's records count as late.
        WatermarkTimestamp = "plimsoll_watermark_timestamp_seconds" Gauge Seconds [topic partition] Series::PerPartition;
        /// Whether the partition is caught up and has been silent for the idle time; then windows do not wait for it.
        PartitionIdle = "plimsoll_partition_idle" Gauge None [topic partition] Series::PerPartition;
        /// Rebalances of the consumer groups of all roles, by kind.
        Rebalances = "plimsoll_rebalances_total" Counter None [kind] Series::Fixed(3);
    }
    "Pipeline" {
        /// Time in which a stage of the pipeline worked.
        StageBusy = "plimsoll_stage_busy_seconds_total" Counter Seconds [stage] Series::Fixed(4);
        /// How long one evaluation of all windows that were due took.
        EvaluationDuration = "plimsoll_evaluation_duration_seconds" Histogram Seconds [] Series::One;
        /// Least watermark of all partitions that are not idle; windows that end before it have been evaluated.
        EngineWatermark = "plimsoll_engine_watermark_timestamp_seconds" Gauge Seconds [] Series::One;
        /// Wall time of the picture of the engine that this page shows.
        ViewTimestamp = "plimsoll_view_timestamp_seconds" Gauge Seconds [] Series::One;
        /// Panes held in memory, open and closed.
        Panes = "plimsoll_panes" Gauge None [] Series::One;
        /// Memory that the engine takes, by kind: counts of panes; all that is kept for models that are at rest, beyond those in plimsoll_model_state_bytes.
        StateBytes = "plimsoll_state_bytes" Gauge Bytes [kind] Series::Fixed(2);
        /// Commits of the observer that Kafka confirmed.
        Commits = "plimsoll_commits_total" Counter None [] Series::One;
        /// Commits of the observer that failed.
        CommitFailures = "plimsoll_commit_failures_total" Counter None [] Series::One;
        /// When the last commit of the observer was confirmed.
        CommitTimestamp = "plimsoll_commit_timestamp_seconds" Gauge Seconds [] Series::One;
        /// Findings given out.
        Findings = "plimsoll_findings_total" Counter None [] Series::One;
        /// Failed requests to what plimsoll writes to, by sink and type of error.
        SinkErrors = "plimsoll_sink_errors_total" Counter None [sink error_type] Series::Fixed(20);
    }
    "Exchange and instances" {
        /// Roles of this instance: observe, evaluate, act; always 1.
        Role = "plimsoll_role_info" Info None [role] Series::Fixed(3);
        /// Whether this instance owns what only one may: 1 for each partition of the exchange that it evaluates; for the decisions (role act) 1 where it acts and 0 where it stands by.
        Owner = "plimsoll_owner" Gauge None [role partition] Series::PerPartition;
        /// Partitions of the exchange, as configured; plimsoll_owner of the role evaluate, summed over all instances, has to be as many.
        ExchangePartitions = "plimsoll_exchange_partitions" Gauge None [] Series::One;
        /// When this instance last evaluated what was due and committed what came of it; absent where it holds no partition.
        LastEvaluation = "plimsoll_last_evaluation_timestamp_seconds" Gauge Seconds [] Series::One;
        /// Kafka transactions by role and outcome: committed, or aborted, which is tried again.
        Transactions = "plimsoll_transactions_total" Counter None [role outcome] Series::Fixed(6);
        /// How long a Kafka transaction took, from its first message to its outcome.
        TransactionDuration = "plimsoll_transaction_duration_seconds" Histogram Seconds [role] Series::Fixed(3);
        /// When the role last committed a transaction.
        TransactionLastCommit = "plimsoll_transaction_last_commit_timestamp_seconds" Gauge Seconds [role] Series::Fixed(3);
        /// Messages that transactions of observer and evaluator committed to a topic.
        ProducedMessages = "plimsoll_produced_messages_total" Counter None [topic] Series::PerTopic;
        /// Bytes of the keys and values of those messages, before compression.
        ProducedBytes = "plimsoll_produced_bytes_total" Counter Bytes [topic] Series::PerTopic;
        /// Messages taken from the exchange by evaluators, those taken again after a restart included.
        ExchangeMessages = "plimsoll_exchange_consumed_messages_total" Counter None [] Series::One;
        /// Bytes of the values of those messages.
        ExchangeBytes = "plimsoll_exchange_consumed_bytes_total" Counter Bytes [] Series::One;
        /// Next offset that the evaluator of a partition takes.
        ExchangePosition = "plimsoll_exchange_position" Gauge None [partition] Series::PerPartition;
        /// Event time up to which windows of a partition's models have closed.
        ExchangeWatermark = "plimsoll_exchange_watermark_timestamp_seconds" Gauge Seconds [partition] Series::PerPartition;
        /// Latest wall time of any observer, as far as the messages of the partition tell.
        ExchangeWall = "plimsoll_exchange_wall_timestamp_seconds" Gauge Seconds [partition] Series::PerPartition;
        /// Source partitions that hold event time back: not heard of yet, or the least in event time; /api/v1/exchange names them.
        ExchangeHolding = "plimsoll_exchange_holding_partitions" Gauge None [partition] Series::PerPartition;
        /// Things in the exchange that must not be: gap, overlap, foreign; every evaluator hears of every gap and overlap by itself.
        ExchangeFaults = "plimsoll_exchange_faults_total" Counter None [kind] Series::Fixed(3);
        /// Source offsets in those gaps, whose counts never came.
        ExchangeGapOffsets = "plimsoll_exchange_gap_offsets_total" Counter None [] Series::One;
        /// Rows of counts that were refused because their model, profile or layout is not the configured one.
        ExchangeForeignRows = "plimsoll_exchange_foreign_rows_total" Counter None [] Series::One;
        /// Decisions that could not be read by the actor, and were passed over.
        UnreadableDecisions = "plimsoll_unreadable_decisions_total" Counter None [] Series::One;
        /// How long it took to take up a partition of the exchange from its state.
        RestoreDuration = "plimsoll_restore_duration_seconds" Histogram Seconds [] Series::One;
        /// Bytes of state that partitions were taken up from.
        RestoredBytes = "plimsoll_restored_bytes_total" Counter Bytes [] Series::One;
        /// Records since the exchange began, by class, as observers classified and committed them: used, late, rejected; and lost, which were never read. Only the owner of partition 0 shows it, and no restart loses any of it, so a sum over instances is the total.
        LogRecords = "plimsoll_log_records" Gauge None [topic class] Series::PerTopic;
        /// Of the used ones, those that turned out late because their pane had closed; each instance shows those of the partitions that it owns, so a sum over instances is the total.
        LogTurnedLate = "plimsoll_log_turned_late_records" Gauge None [topic] Series::PerTopic;
    }
    "This page" {
        /// Series on this page, this one not included.
        MetricSeries = "plimsoll_metric_series" Gauge None [] Series::One;
        /// Series left out of pages because a metric was at its limit, counted once for each page.
        MetricSeriesDropped = "plimsoll_metric_series_dropped_total" Counter None [family] Series::PerMetric;
    }
    "Models and policies" {
        /// Rows that entered panes.
        ModelRecords = "plimsoll_model_records_total" Counter None [tenant model model_version] Series::PerVersion;
        /// Bytes held for a model that is evaluated here: counts, windows and detectors of all its versions and segments.
        ModelStateBytes = "plimsoll_model_state_bytes" Gauge Bytes [model] Series::PerModel;
        /// Event time of the newest row.
        ModelEventTimestamp = "plimsoll_model_event_timestamp_seconds" Gauge Seconds [tenant model model_version] Series::PerVersion;
        /// End of the newest window that was evaluated.
        EvaluationTimestamp = "plimsoll_evaluation_timestamp_seconds" Gauge Seconds [tenant model model_version] Series::PerVersion;
        /// Findings by the verdict of their window, which has no stated error rate; not_judged stands for a check without a bound.
        Evaluations = "plimsoll_evaluations_total" Counter None [tenant model model_version check verdict] Series::PerCheck;
        /// Findings of the check's newest window by the window's own verdict, which policies that decide by windows go by; for sequential ones see plimsoll_check_slots.
        CheckFindings = "plimsoll_check_findings" Gauge None [tenant model model_version check verdict] Series::PerCheck;
        /// Least value that the check allows, in the unit of its metric.
        CheckLowerBound = "plimsoll_check_lower_bound" Gauge None [tenant model model_version check metric] Series::PerCheck;
        /// Largest value that the check allows, in the unit of its metric.
        CheckUpperBound = "plimsoll_check_upper_bound" Gauge None [tenant model model_version check metric] Series::PerCheck;
        /// Rows that the newest window of the check was computed from; the largest over its features or groups.
        WindowSamples = "plimsoll_window_samples" Gauge None [tenant model model_version check] Series::PerCheck;
        /// How a policy decides: sequential, within the false-alarm budget, or window, without a stated error rate; always 1.
        Policy = "plimsoll_policy_info" Info None [model policy decide] Series::PerAction;
        /// State of a policy: 0 unknown, 1 ok, 2 warn, 3 violated.
        PolicyState = "plimsoll_policy_state" Gauge None [tenant model model_version policy] Series::PerCheck;
        /// End of the window in which the open incident began; absent without an incident.
        IncidentStart = "plimsoll_incident_start_timestamp_seconds" Gauge Seconds [tenant model model_version policy] Series::PerCheck;
        /// Decisions by kind: qualified, violated, cleared, withdrawn.
        Decisions = "plimsoll_decisions_total" Counter None [model policy kind] Series::PerAction;
    }
    "False-alarm budget" {
        /// Slots of a check by their sequential verdict at its newest window; shadow stands for those that are shown and never act.
        CheckSlots = "plimsoll_check_slots" Gauge None [tenant model model_version check verdict] Series::PerCheck;
        /// Natural logarithm of a slot's e-value after the last pane; absent before the first pane and right after an alarm.
        LogEValue = "plimsoll_log_e_value" Gauge None [tenant model model_version check scope] Series::PerSlot;
        /// Natural logarithm of the e-value from which on the slot alarms; it follows from the budget, and moves when the budget is divided anew.
        LogEValueThreshold = "plimsoll_log_e_value_threshold" Gauge None [tenant model model_version check scope] Series::PerSlot;
        /// Whether the slot runs in shadow: computed and shown, but never acting.
        SlotShadow = "plimsoll_slot_shadow" Gauge None [tenant model model_version check scope] Series::PerSlot;
        /// False alarms that the slot raises at most, on average, in the period of its budget.
        BudgetShare = "plimsoll_false_alarm_budget_share" Gauge None [tenant model model_version check scope] Series::PerSlot;
        /// Period of event time that the shares of the budget are for.
        BudgetPeriod = "plimsoll_false_alarm_budget_period_seconds" Gauge Seconds [tenant model model_version check] Series::PerCheck;
        /// Alarms of e-detectors and confidence sequences over all versions, by rule, and by mode: live, or shadow where nothing acts.
        Alarms = "plimsoll_alarms_total" Counter None [model check rule mode] Series::PerCheck;
    }
    "Drift" {
        /// Population stability index of a feature against the reference, nats.
        FeaturePsi = "plimsoll_feature_drift_psi" Gauge None [tenant model model_version check feature] Series::PerFeature;
        /// Kolmogorov-Smirnov distance of a feature from the reference, 0 to 1.
        FeatureKs = "plimsoll_feature_drift_ks" Gauge None [tenant model model_version check feature] Series::PerFeature;
        /// Jensen-Shannon distance of a feature from the reference, base e, 0 to 0.833.
        FeatureJs = "plimsoll_feature_drift_js" Gauge None [tenant model model_version check feature] Series::PerFeature;
        /// First Wasserstein distance of a feature from the reference, in the feature's unit.
        FeatureWasserstein = "plimsoll_feature_drift_wasserstein" Gauge None [tenant model model_version check feature] Series::PerFeature;
        /// First Wasserstein distance of a feature from the reference, in standard deviations of the reference.
        FeatureWassersteinNormalized = "plimsoll_feature_drift_wasserstein_normalized" Gauge None [tenant model model_version check feature] Series::PerFeature;
        /// Hellinger distance of a feature from the reference, 0 to 1.
        FeatureHellinger = "plimsoll_feature_drift_hellinger" Gauge None [tenant model model_version check feature] Series::PerFeature;
        /// Total variation distance of a feature from the reference, 0 to 1.
        FeatureTotalVariation = "plimsoll_feature_drift_total_variation" Gauge None [tenant model model_version check feature] Series::PerFeature;
        /// Chi-squared statistic of a feature against the reference.
        FeatureChiSquared = "plimsoll_feature_drift_chi_squared" Gauge None [tenant model model_version check feature] Series::PerFeature;
        /// Share of the judged features of a drift check whose newest window is beyond its bound.
        DriftedFeatures = "plimsoll_drifted_features_ratio" Gauge Ratio [tenant model model_version check] Series::PerCheck;
        /// Population stability index of an output of the model against the reference, nats.
        PredictionPsi = "plimsoll_prediction_drift_psi" Gauge None [tenant model model_version check output] Series::PerCheck;
        /// Kolmogorov-Smirnov distance of an output of the model from the reference, 0 to 1.
        PredictionKs = "plimsoll_prediction_drift_ks" Gauge None [tenant model model_version check output] Series::PerCheck;
        /// Jensen-Shannon distance of an output of the model from the reference, base e, 0 to 0.833.
        PredictionJs = "plimsoll_prediction_drift_js" Gauge None [tenant model model_version check output] Series::PerCheck;
        /// First Wasserstein distance of an output of the model from the reference, in the output's unit.
        PredictionWasserstein = "plimsoll_prediction_drift_wasserstein" Gauge None [tenant model model_version check output] Series::PerCheck;
        /// First Wasserstein distance of an output of the model from the reference, in standard deviations of the reference.
        PredictionWassersteinNormalized = "plimsoll_prediction_drift_wasserstein_normalized" Gauge None [tenant model model_version check output] Series::PerCheck;
        /// Hellinger distance of an output of the model from the reference, 0 to 1.
        PredictionHellinger = "plimsoll_prediction_drift_hellinger" Gauge None [tenant model model_version check output] Series::PerCheck;
        /// Total variation distance of an output of the model from the reference, 0 to 1.
        PredictionTotalVariation = "plimsoll_prediction_drift_total_variation" Gauge None [tenant model model_version check output] Series::PerCheck;
        /// Chi-squared statistic of an output of the model against the reference.
        PredictionChiSquared = "plimsoll_prediction_drift_chi_squared" Gauge None [tenant model model_version check output] Series::PerCheck;
    }
    "Quality" {
        /// Share of rows in which a feature is missing or null.
        FeatureMissing = "plimsoll_feature_missing_ratio" Gauge Ratio [tenant model model_version check feature] Series::PerFeature;
        /// Share of rows in which a feature is not a number or has the wrong type.
        FeatureInvalid = "plimsoll_feature_invalid_ratio" Gauge Ratio [tenant model model_version check feature] Series::PerFeature;
        /// Share of a feature's present values that the reference never showed.
        FeatureUnseen = "plimsoll_feature_unseen_ratio" Gauge Ratio [tenant model model_version check feature] Series::PerFeature;
        /// Share of a feature's present values outside the range of the reference.
        FeatureOutOfRange = "plimsoll_feature_out_of_range_ratio" Gauge Ratio [tenant model model_version check feature] Series::PerFeature;
        /// Share of rows in which an output of the model is missing or null.
        PredictionMissing = "plimsoll_prediction_missing_ratio" Gauge Ratio [tenant model model_version check output] Series::PerCheck;
        /// Share of rows in which an output of the model is not a number or has the wrong type.
        PredictionInvalid = "plimsoll_prediction_invalid_ratio" Gauge Ratio [tenant model model_version check output] Series::PerCheck;
        /// Share of an output's present values that the reference never showed.
        PredictionUnseen = "plimsoll_prediction_unseen_ratio" Gauge Ratio [tenant model model_version check output] Series::PerCheck;
        /// Share of an output's present values outside the range of the reference.
        PredictionOutOfRange = "plimsoll_prediction_out_of_range_ratio" Gauge Ratio [tenant model model_version check output] Series::PerCheck;
    }
    "Fairness" {
        /// Rate of a group of a protected attribute; a group with fewer than 11 rows is not shown.
        FairnessRate = "plimsoll_fairness_rate_ratio" Gauge Ratio [tenant model model_version check attribute group rate] Series::PerGroup;
        /// Lower end of the interval of that rate.
        FairnessRateLower = "plimsoll_fairness_rate_lower_ratio" Gauge Ratio [tenant model model_version check attribute group rate] Series::PerGroup;
        /// Upper end of the interval of that rate.
        FairnessRateUpper = "plimsoll_fairness_rate_upper_ratio" Gauge Ratio [tenant model model_version check attribute group rate] Series::PerGroup;
        /// Rows of a group that its rate was computed from; a group with fewer than 11 rows is not shown.
        FairnessGroupSamples = "plimsoll_fairness_group_samples" Gauge None [tenant model model_version check attribute group] Series::PerGroup;
        /// Largest less smallest rate over the groups of an attribute, by rate: selection (demographic parity), true_positive (equal opportunity), false_positive, equalized_odds.
        FairnessGap = "plimsoll_fairness_gap_ratio" Gauge Ratio [tenant model model_version check attribute rate] Series::PerGroup;
        /// Lower end of the interval of that difference.
        FairnessGapLower = "plimsoll_fairness_gap_lower_ratio" Gauge Ratio [tenant model model_version check attribute rate] Series::PerGroup;
        /// Upper end of the interval of that difference.
        FairnessGapUpper = "plimsoll_fairness_gap_upper_ratio" Gauge Ratio [tenant model model_version check attribute rate] Series::PerGroup;
        /// Smallest over largest selection rate over the groups of an attribute (demographic parity ratio).
        FairnessImpact = "plimsoll_fairness_impact_ratio" Gauge Ratio [tenant model model_version check attribute] Series::PerGroup;
        /// Lower end of the interval of that ratio.
        FairnessImpactLower = "plimsoll_fairness_impact_lower_ratio" Gauge Ratio [tenant model model_version check attribute] Series::PerGroup;
        /// Upper end of the interval of that ratio.
        FairnessImpactUpper = "plimsoll_fairness_impact_upper_ratio" Gauge Ratio [tenant model model_version check attribute] Series::PerGroup;
    }
    "Performance and traffic" {
        /// Share of predictions that equal the label.
        Accuracy = "plimsoll_performance_accuracy_ratio" Gauge Ratio [tenant model model_version check] Series::PerCheck;
        /// Share of positive predictions whose label is positive.
        Precision = "plimsoll_performance_precision_ratio" Gauge Ratio [tenant model model_version check] Series::PerCheck;
        /// Share of positive labels that were predicted.
        Recall = "plimsoll_performance_recall_ratio" Gauge Ratio [tenant model model_version check] Series::PerCheck;
        /// Harmonic mean of precision and recall.
        F1 = "plimsoll_performance_f1_ratio" Gauge Ratio [tenant model model_version check] Series::PerCheck;
        /// Mean squared distance of the score from the label, 0 to 1.
        Brier = "plimsoll_performance_brier" Gauge None [tenant model model_version check] Series::PerCheck;
        /// Mean negative log likelihood of the label, nats.
        LogLoss = "plimsoll_performance_log_loss" Gauge None [tenant model model_version check] Series::PerCheck;
        /// Expected calibration error over ten equal bins of the score, 0 to 1.
        CalibrationError = "plimsoll_performance_expected_calibration_error" Gauge None [tenant model model_version check] Series::PerCheck;
        /// Rows in the newest window of a traffic check.
        WindowRows = "plimsoll_window_rows" Gauge None [tenant model model_version check] Series::PerCheck;
        /// Quantile of the model's own latency that the check asks for.
        Latency = "plimsoll_latency_seconds" Gauge Seconds [tenant model model_version check] Series::PerCheck;
        /// Share of scored records above the 99th percentile of the reference's anomaly scores.
        AnomalyRate = "plimsoll_anomaly_ratio" Gauge Ratio [tenant model model_version check] Series::PerCheck;
    }
    "Actions" {
        /// Actions by outcome, each counted when it is durable in the audit log: awaiting_approval (a person is asked), suppressed, denied, expired, submitted, running, applied, recovered, not_recovered, verify_inconclusive, failed, cancelled, needs_human.
        Actions = "plimsoll_actions_total" Counter None [model action outcome] Series::PerAction;
        /// Actions that a policy wanted and that were not done, by the rule that forbade it.
        ActionsSuppressed = "plimsoll_actions_suppressed_total" Counter None [model action reason] Series::PerAction;
        /// Actions that people were told of because they came to nothing, by what they came to.
        Escalations = "plimsoll_escalations_total" Counter None [model action reason] Series::PerAction;
        /// Actions that have not ended, by state: proposed, awaiting_approval, under_way, verifying; and needs_human, of which nobody knows whether they were done, until their incident is over.
        ActionsOpen = "plimsoll_actions_open" Gauge None [model action state] Series::PerAction;
        /// When the soonest of the actions that wait for approval expires; absent where none waits.
        ApprovalExpires = "plimsoll_action_approval_expires_timestamp_seconds" Gauge Seconds [model action] Series::PerAction;
        /// When the newest action last changed its state.
        ActionLast = "plimsoll_action_last_timestamp_seconds" Gauge Seconds [model action] Series::PerAction;
        /// From the entry of the decision, or of the escalation, to the target having done it; approval included.
        ActionApply = "plimsoll_action_apply_duration_seconds" Histogram Seconds [action] Series::PerAction;
        /// From a rollback having been done to what the inference log said of it, whatever that was.
        ActionVerify = "plimsoll_action_verify_duration_seconds" Histogram Seconds [action] Series::PerAction;
        /// Questions to targets by step and answer; doubt stands for a request that may have been taken although its reply was lost, retry for one that certainly was not, or that changes nothing.
        ActionCalls = "plimsoll_action_calls_total" Counter None [action step answer] Series::PerAction;
        /// From a question to a target to its answer, as the actor takes notice of it.
        ActionCallDuration = "plimsoll_action_call_duration_seconds" Histogram Seconds [action step] Series::PerAction;
        /// Whether the target of an action is left alone because it failed too often: 0 closed, 1 half open (one may try), 2 open.
        ActionBreaker = "plimsoll_action_breaker_state" Gauge None [action] Series::PerAction;
    }
    "Audit log" {
        /// Entries in the audit log; absent where another process owns the actions, as the others of this part.
        AuditEntries = "plimsoll_audit_entries" Gauge None [] Series::One;
        /// Of these, those that the newest checkpoint covers; absent without a key.
        AuditSigned = "plimsoll_audit_signed_entries" Gauge None [] Series::One;
    }
    "People and safety" {
        /// Orders of people by what became of them: accepted, refused.
        Commands = "plimsoll_commands_total" Counter None [order outcome] Series::Fixed(16);
        /// Whether every model is frozen, by who did it: a person, or plimsoll itself because too many models left their bounds at once.
        Frozen = "plimsoll_frozen" Gauge None [by] Series::Fixed(2);
        /// Since when; absent where nothing is frozen.
        FrozenTimestamp = "plimsoll_frozen_timestamp_seconds" Gauge Seconds [] Series::One;
        /// Since when a person holds the model, so that nothing is done to it; absent where nobody does.
        ModelHeld = "plimsoll_model_held_timestamp_seconds" Gauge Seconds [tenant model] Series::PerModel;
        /// Whether a model with an action that rolls it back has a version to go back to: one that is known to be good, other than the newest that takes traffic; absent before any version was seen.
        KnownGood = "plimsoll_known_good_version" Gauge None [tenant model] Series::PerModel;
    }
}

#[cfg(test)]
mod tests;
