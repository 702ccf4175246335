//! All stages in one process with nothing in between, for the demo: records in, findings and decisions
//! out. One thread does it all, so that its order is plain: a decision is durable before its findings
//! are given out. It keeps nothing and cannot be restarted; `plimsoll run` joins the stages by Kafka.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::act::Picture;
use super::acting::Acting;
use super::clock::now_millis;
use super::people::Handed;
use super::pipeline::Pipeline;
use super::roles::telling::tell;
use crate::api::Readiness;
use crate::domain::SourcePartition;
use crate::engine::view::View;
use crate::exchange::{RejectedRecord, Sink};
use crate::ingest::source::{Source, SourceEvent};
use crate::telemetry::{self, Rebalance, SinkError, Stage, Telemetry};

/// Events that are taken from the source at a time.
const EVENTS: usize = 4_096;
/// How long to wait for the first of them.
const PATIENCE: Duration = Duration::from_millis(50);
/// How often panes are closed and windows evaluated.
const EVALUATE_EVERY: Duration = Duration::from_millis(100);
/// How often the picture for metrics and API is renewed.
const PUBLISH_EVERY: Duration = Duration::from_millis(250);
/// How long to wait for calls that are under way when the daemon stops.
const STOP_PATIENCE: Duration = Duration::from_millis(1_500);

/// Name of the readiness condition that input partitions are being read.
pub const READING: &str = "input";

/// What a running daemon shares with its surroundings.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Counters and the published picture.
    pub telemetry: Telemetry,
    /// What `/readyz` says.
    pub readiness: Readiness,
    /// Set to stop.
    pub stop: Arc<AtomicBool>,
}

/// Timers of the loop.
struct Due {
    evaluate: Instant,
    publish: Instant,
}

/// Serves until it is asked to stop. People's orders come from `orders`.
///
/// # Errors
/// When the source or the audit log cannot go on.
pub fn serve<S: Source, K: Sink>(
    source: &mut S,
    sink: &mut K,
    pipeline: &mut Pipeline,
    acting: &mut Acting,
    orders: &Receiver<Handed>,
    around: &Surroundings,
) -> anyhow::Result<()> {
    // Nobody else has read the decisions: they go from hand to hand.
    around.telemetry.acting(true, 0);
    let start = Instant::now();
    let mut due = Due { evaluate: start, publish: start };
    loop {
        let stopping = around.stop.load(Ordering::Relaxed);
        if !stopping {
            take(source, sink, pipeline, around)?;
        }
        let now = Instant::now();
        if stopping || now >= due.evaluate {
            evaluate(sink, pipeline, acting, around)?;
            due.evaluate = now + EVALUATE_EVERY;
        }
        for handed in orders.try_iter() {
            acting.order(handed.command.clone(), now_millis())?;
            handed.durable();
        }
        acting.tick(now_millis())?;
        if stopping || now >= due.publish {
            publish(source, pipeline, acting, around);
            due.publish = now + PUBLISH_EVERY;
        }
        if stopping {
            finish_calls(acting)?;
            publish(source, pipeline, acting, around);
            return Ok(());
        }
    }
}

/// Shows how everything stands.
fn publish<S: Source>(source: &mut S, pipeline: &mut Pipeline, acting: &Acting, around: &Surroundings) {
    let now = now_millis();
    let Picture { actions, commands, safety } = acting.picture(now);
    let view = View { commands, safety, ..pipeline.view(now, &source.lag(), actions) };
    around.telemetry.publish(Arc::new(view));
}

fn take<S: Source, K: Sink>(
    source: &mut S,
    sink: &mut K,
    pipeline: &mut Pipeline,
    around: &Surroundings,
) -> anyhow::Result<()> {
    let now = now_millis();
    let mut consumed: BTreeMap<SourcePartition, (u64, u64)> = BTreeMap::new();
    let mut last: Option<(SourcePartition, u64, u64)> = None;
    let mut busy = Duration::ZERO;
    let mut failed = None;
    let mut rejected: BTreeMap<Arc<str>, u64> = BTreeMap::new();
    source
        .poll(EVENTS, PATIENCE, &mut |event| {
            let began = Instant::now();
            match &event {
                SourceEvent::Record(record) => {
                    let bytes = record.value.map_or(0, |value| value.len() as u64);
                    match &mut last {
                        Some((partition, records, sum)) if partition == record.partition => {
                            *records += 1;
                            *sum += bytes;
                        }
                        _ => {
                            if let Some((partition, records, sum)) = last.take() {
                                add(&mut consumed, partition, records, sum);
                            }
                            last = Some((record.partition.clone(), 1, bytes));
                        }
                    }
                }
                SourceEvent::Assigned(partitions) => {
                    around.telemetry.rebalance(Rebalance::Assign);
                    let names: Vec<String> =
                        partitions.iter().map(|assigned| assigned.partition.to_string()).collect();
                    tracing::info!(partitions = names.join(" "), "partitions assigned");
                    around.readiness.met(READING);
                }
                SourceEvent::Revoked(partitions) => {
                    around.telemetry.rebalance(Rebalance::Revoke);
                    let names: Vec<String> = partitions.iter().map(ToString::to_string).collect();
                    tracing::warn!(partitions = names.join(" "), "partitions were taken away");
                }
                SourceEvent::Lost { partition, from, to } => {
                    around.telemetry.lost_records(&partition.topic, to.saturating_sub(*from));
                }
                SourceEvent::EndOfPartition(_) | SourceEvent::Finished(_) => {}
            }
            pipeline.handle(event, now, &mut |record, why| {
                let letter = RejectedRecord {
                    partition: record.partition,
                    offset: record.offset,
                    reason: why.reason,
                    detail: Some(&why.detail),
                    key: record.key,
                    value: record.value,
                };
                match sink.dead_letter(&letter) {
                    Ok(()) => *rejected.entry(Arc::clone(&record.partition.topic)).or_default() += 1,
                    Err(error) => failed = Some(error),
                }
            });
            busy += began.elapsed();
        })
        .context("the input cannot be read")?;
    if let Some((partition, records, bytes)) = last {
        add(&mut consumed, partition, records, bytes);
    }
    for (partition, (records, bytes)) in &consumed {
        around.telemetry.records_consumed(partition, *records, *bytes);
    }
    for (topic, letters) in rejected {
        around.telemetry.dead_letters(&topic, letters);
    }
    around.telemetry.stage_busy(Stage::Decode, busy);
    match failed {
        Some(error) => Err(error).context("a rejected record cannot be put aside"),
        None => Ok(()),
    }
}

fn add(
    consumed: &mut BTreeMap<SourcePartition, (u64, u64)>,
    partition: SourcePartition,
    records: u64,
    bytes: u64,
) {
    let entry = consumed.entry(partition).or_default();
    entry.0 += records;
    entry.1 += bytes;
}

fn evaluate<K: Sink>(
    sink: &mut K,
    pipeline: &mut Pipeline,
    acting: &mut Acting,
    around: &Surroundings,
) -> anyhow::Result<()> {
    let began = Instant::now();
    let evaluated = pipeline.evaluate(now_millis());
    let took = began.elapsed();
    around.telemetry.stage_busy(Stage::Evaluate, took);
    around.telemetry.evaluated(now_millis() as f64 / 1000.0);
    if evaluated.is_empty() {
        return Ok(());
    }
    tell(&evaluated, took, &around.telemetry);
    for decision in evaluated.decisions {
        acting.decide(decision, now_millis())?;
    }
    for report in evaluated.reports {
        acting.report(report, now_millis())?;
    }
    around.telemetry.stage_busy(Stage::Act, began.elapsed().saturating_sub(took));
    for finding in &evaluated.findings {
        let json = serde_json::to_string(&**finding).context("a finding cannot be written as JSON")?;
        if let Err(error) = sink.finding(finding.model.as_str(), &json) {
            around.telemetry.sink_error(telemetry::Sink::Findings, SinkError::Unavailable);
            return Err(error).context("a finding cannot be given out");
        }
    }
    around.telemetry.finding_given_out(evaluated.findings.len() as u64);
    Ok(())
}

/// Waits a little for calls that are under way, so that their outcome is in the log. One that takes
/// longer is looked up, or repeated under its id, at the next start.
fn finish_calls(acting: &mut Acting) -> anyhow::Result<()> {
    let until = Instant::now() + STOP_PATIENCE;
    while acting.in_flight() > 0 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
        acting.tick(now_millis())?;
    }
    acting.tick(now_millis())
}
