//! Reading what the log holds between two times, for a batch command. It assigns itself partitions
//! at offsets that it looked up, so it joins no group, moves no partition of the daemon's, and commits
//! nothing.
//!
//! Topics are read one after the other: librdkafka tells the end of a partition by its number alone,
//! and within a topic that is enough.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::context::Context;
use super::error::{advice, code_of, is_refusal};
use super::source::hand_over;
use super::{Config, Error, OffsetReset};
use crate::domain::{EventTime, SourcePartition};
use crate::ingest::source::{Assigned, Commit, Lag, Source, SourceEvent};

/// How long one question to the brokers may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// How long nothing may come before the command gives up.
const SILENCE: Duration = Duration::from_secs(60);

/// A range of record timestamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The first; none: from the oldest record on.
    pub from: Option<EventTime>,
    /// The first that is not read; none: up to what is there now.
    pub until: Option<EventTime>,
}

/// A partition's part of the range.
#[derive(Debug)]
struct Span {
    partition: SourcePartition,
    next: i64,
    end: i64,
    done: bool,
}

/// The records of some topics between two times.
pub struct RangeSource {
    consumer: BaseConsumer<Context>,
    spans: Vec<Span>,
    announced: bool,
    current: Option<String>,
    waiting: VecDeque<String>,
    heard: Instant,
}

impl fmt::Debug for RangeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RangeSource").field("spans", &self.spans).finish_non_exhaustive()
    }
}

impl RangeSource {
    /// Looks up where the range begins and ends in every partition of the configured topics.
    ///
    /// # Errors
    /// On a wrong configuration, a topic that is not there, or brokers that do not answer.
    pub fn new(config: &Config, range: Range) -> Result<Self, Error> {
        if config.topics.is_empty() {
            return Err(Error::NoTopic);
        }
        // An offset that retention took meanwhile must not be replaced by another in silence.
        let client = Config { offset_reset: OffsetReset::Error, ..config.clone() }.to_client_config()?;
        let consumer: BaseConsumer<Context> =
            client.create_with_context(Context::default()).map_err(Error::from_client)?;
        let mut source = Self {
            consumer,
            spans: Vec::new(),
            announced: false,
            current: None,
            waiting: config.topics.iter().cloned().collect(),
            heard: Instant::now(),
        };
        for topic in &config.topics {
            let spans = source.look_up(topic, range).map_err(|error| source.unanswered(topic, &error))?;
            if spans.is_empty() {
                let code = RDKafkaErrorCode::UnknownTopicOrPartition;
                return Err(source.unanswered(topic, &KafkaError::MetadataFetch(code)));
            }
            source.spans.extend(spans);
        }
        source.heard = Instant::now();
        Ok(source)
    }

    fn look_up(&self, topic: &str, range: Range) -> Result<Vec<Span>, KafkaError> {
        let metadata = self.consumer.fetch_metadata(Some(topic), ANSWER_TIMEOUT)?;
        let numbers: Vec<i32> = metadata
            .topics()
            .iter()
            .filter(|found| found.name() == topic)
            .flat_map(|found| found.partitions().iter().map(|partition| partition.id()))
            .collect();
        let at = |time: Option<EventTime>| -> Result<Option<TopicPartitionList>, KafkaError> {
            let Some(time) = time else { return Ok(None) };
            let place = Offset::Offset(time.as_millis().max(0));
            let asked = numbers.iter().map(|number| (topic.to_owned(), *number, place)).collect();
            self.consumer.offsets_for_times(asked, ANSWER_TIMEOUT).map(Some)
        };
        let (from, until) = (at(range.from)?, at(range.until)?);
        let mut spans = Vec::new();
        for number in numbers {
            let (low, high) = self.consumer.fetch_watermarks(topic, number, ANSWER_TIMEOUT)?;
            // Where no record is as late as the time, the answer is the end.
            let found = |list: &Option<TopicPartitionList>, without: i64| -> Result<i64, KafkaError> {
                let Some(list) = list else { return Ok(without) };
                let element = list.find_partition(topic, number);
                element.as_ref().map_or(Ok(()), |element| element.error())?;
                Ok(match element.map(|element| element.offset()) {
                    Some(Offset::Offset(offset)) => offset.clamp(low, high),
                    _ => high,
                })
            };
            let (next, end) = (found(&from, low)?, found(&until, high)?);
            let partition = SourcePartition::new(topic, number);
            spans.push(Span { partition, next, end, done: next >= end });
        }
        Ok(spans)
    }

    /// The error of a question about `topic` that was not answered.
    fn unanswered(&self, topic: &str, error: &KafkaError) -> Error {
        let code = code_of(error);
        let words = std::mem::take(&mut self.consumer.context().inbox().reason);
        let reason = if words.is_empty() { code.to_string() } else { words };
        Error::Lookup {
            topic: topic.to_owned(),
            reason,
            advice: advice(code).unwrap_or("check `kafka.brokers`, and that they can be reached"),
        }
    }

    /// Whether everything has been handed over.
    pub fn finished(&self) -> bool {
        self.announced && self.spans.iter().all(|span| span.done)
    }

    /// Offsets that are still to be read, at most; control records and gaps count too.
    pub fn left(&self) -> u64 {
        let left = |span: &Span| u64::try_from(span.end - span.next).unwrap_or(0);
        self.spans.iter().filter(|span| !span.done).map(left).sum()
    }

    /// Goes on to the next topic that has something to read, if the present one has nothing left.
    fn advance(&mut self) -> Result<(), Error> {
        let busy = |topic: &str, spans: &[Span]| {
            spans.iter().any(|span| !span.done && *span.partition.topic == *topic)
        };
        if self.current.as_deref().is_some_and(|topic| busy(topic, &self.spans)) {
            return Ok(());
        }
        self.current = None;
        while let Some(topic) = self.waiting.pop_front() {
            if !busy(&topic, &self.spans) {
                continue;
            }
            let mut list = TopicPartitionList::new();
            for span in self.spans.iter().filter(|span| !span.done && *span.partition.topic == *topic) {
                let offset = Offset::Offset(span.next);
                list.add_partition_offset(&topic, span.partition.partition, offset).map_err(Error::Assign)?;
            }
            self.consumer.assign(&list).map_err(Error::Assign)?;
            self.current = Some(topic);
            break;
        }
        Ok(())
    }

    /// Ends a partition: nothing more is fetched of it.
    fn end(&mut self, index: usize, sink: &mut dyn FnMut(SourceEvent<'_>)) -> Result<(), Error> {
        let span = &mut self.spans[index];
        span.done = true;
        let mut list = TopicPartitionList::new();
        list.add_partition(&span.partition.topic, span.partition.partition);
        self.consumer.pause(&list).map_err(Error::Assign)?;
        sink(SourceEvent::Finished(span.partition.clone()));
        Ok(())
    }

    fn fault(&self, error: &KafkaError) -> Result<(), Error> {
        let code = code_of(error);
        let words = std::mem::take(&mut self.consumer.context().inbox().reason);
        let reason = if words.is_empty() { code.to_string() } else { words };
        if matches!(error, KafkaError::MessageConsumptionFatal(_)) || code == RDKafkaErrorCode::Fatal {
            return Err(Error::Fatal { reason });
        }
        if code == RDKafkaErrorCode::AutoOffsetReset {
            return Err(Error::OffsetReset { reason });
        }
        if is_refusal(code) {
            return Err(Error::Refused { reason, advice: advice(code).unwrap_or("check `kafka.security`") });
        }
        tracing::debug!(%code, reason, "kafka fault");
        Ok(())
    }
}

impl Source for RangeSource {
    type Error = Error;

    fn poll(
        &mut self,
        max: usize,
        timeout: Duration,
        sink: &mut dyn FnMut(SourceEvent<'_>),
    ) -> Result<usize, Error> {
        let deadline = Instant::now() + timeout;
        let mut events = 0;
        if !self.announced {
            self.announced = true;
            let assigned = |span: &Span| Assigned {
                partition: span.partition.clone(),
                offset: Some(span.next),
                metadata: None,
            };
            sink(SourceEvent::Assigned(self.spans.iter().map(assigned).collect()));
            for span in self.spans.iter().filter(|span| span.done) {
                sink(SourceEvent::Finished(span.partition.clone()));
            }
            events += 1;
        }
        while events < max && !self.finished() {
            self.advance()?;
            let wait =
                if events == 0 { deadline.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
            // The message borrows the consumer, so what follows from it is done afterwards.
            let ended = match self.consumer.poll(wait) {
                Some(Ok(message)) => {
                    self.heard = Instant::now();
                    let ours = |span: &Span| {
                        span.partition.partition == message.partition()
                            && *span.partition.topic == *message.topic()
                    };
                    let Some(index) = self.spans.iter().position(ours) else { continue };
                    let span = &mut self.spans[index];
                    if span.done {
                        continue;
                    }
                    if message.offset() < span.end {
                        span.next = message.offset() + 1;
                        hand_over(&span.partition, &message, sink);
                        events += 1;
                    } else {
                        span.next = span.end;
                    }
                    (span.next >= span.end).then_some(index)
                }
                Some(Err(KafkaError::PartitionEOF(number))) => {
                    self.heard = Instant::now();
                    let current = self.current.as_deref();
                    self.spans.iter().position(|span| {
                        !span.done
                            && span.partition.partition == number
                            && Some(&*span.partition.topic) == current
                    })
                }
                Some(Err(error)) => {
                    self.fault(&error)?;
                    None
                }
                None if self.heard.elapsed() > SILENCE => {
                    return Err(Error::Silent { seconds: SILENCE.as_secs() });
                }
                None if events > 0 || Instant::now() >= deadline => break,
                None => None,
            };
            if let Some(index) = ended {
                self.end(index, sink)?;
                events += 1;
            }
        }
        Ok(events)
    }

    /// Nothing is ever committed.
    fn commit(&mut self, _: &[Commit]) -> Result<(), Error> {
        Ok(())
    }

    fn lag(&self) -> Vec<Lag> {
        Vec::new()
    }
}
