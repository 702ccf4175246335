//! Runs calls beside each other, one attempt each, and reports how each ended. Every call that is
//! given to it is reported exactly once, unless the process ends first: then the audit log has its
//! intent, and the next start knows what to do.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;

use crate::engine::actor::{Call, CallFinished};
use crate::safety::{Reply, Step};

use super::{Clock, Lease, Target};

/// Runs calls on a tokio runtime. Dropping it gives up the calls that are under way.
pub struct Executor {
    targets: BTreeMap<String, Arc<dyn Target>>,
    clock: Clock,
    lease: Lease,
    runtime: Handle,
    results: Sender<CallFinished>,
    calls: JoinSet<()>,
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor")
            .field("targets", &self.targets)
            .field("calls", &self.calls.len())
            .finish_non_exhaustive()
    }
}

impl Executor {
    /// An executor that calls `targets` (by the configured names of the actions) on `runtime`, which
    /// needs its timer and I/O, and sends the ends of calls to `results`.
    pub fn new(
        targets: BTreeMap<String, Arc<dyn Target>>,
        clock: Clock,
        runtime: Handle,
        results: Sender<CallFinished>,
    ) -> Self {
        Self { targets, clock, lease: Lease::unlimited(), runtime, results, calls: JoinSet::new() }
    }

    /// The same, beginning calls only while `lease` holds.
    #[must_use]
    pub fn under(self, lease: Lease) -> Self {
        Self { lease, ..self }
    }

    /// Begins `call` and returns at once. The intent of its action is durable by now.
    pub fn submit(&mut self, call: Call) {
        while self.calls.try_join_next().is_some() {}
        let target = self.targets.get(&call.action).map(Arc::clone);
        let (clock, lease) = (Arc::clone(&self.clock), self.lease.clone());
        let results = self.results.clone();
        let attempt = async move {
            let result = match target {
                Some(target) => run(&*target, &call, (clock)(), &lease).await,
                None => Reply::Rejected { why: "no target is configured for the action".to_owned() },
            };
            log(&call, &result);
            let Call { action_id, attempt, .. } = call;
            if results.send(CallFinished { action_id, attempt, result }).await.is_err() {
                tracing::debug!("nobody listens to the ends of calls any more");
            }
        };
        self.calls.spawn_on(attempt, &self.runtime);
    }

    /// How many calls are under way; one whose end was just reported may still count.
    pub fn in_flight(&mut self) -> usize {
        while self.calls.try_join_next().is_some() {}
        self.calls.len()
    }

    /// Begins no further call, and leaves those that are under way to their end, which nobody is told:
    /// somebody else owns the actions now.
    pub fn leave(mut self) {
        self.lease.end();
        self.calls.detach_all();
    }

    /// Waits until no call is under way, at most for `patience`, and returns how many still are.
    pub async fn drain(&mut self, patience: Duration) -> usize {
        let all = async { while self.calls.join_next().await.is_some() {} };
        // Running out of patience is answered by the number that is left.
        let _elapsed = tokio::time::timeout(patience, all).await;
        self.calls.len()
    }
}

/// One attempt, cut at the deadline. Deadline and lease are checked here, because a slow audit log,
/// or a pause of the whole process, may lie between the rule that allowed the call and the call.
async fn run(target: &dyn Target, call: &Call, now: i64, lease: &Lease) -> Reply {
    let left = u64::try_from(call.deadline.saturating_sub(now)).unwrap_or(0);
    if left == 0 {
        let why = "the deadline had passed before the call began".to_owned();
        return Reply::Retry { why, doubt: false, retry_after: None };
    }
    if !lease.holds() {
        let why =
            "the ownership of the actions was not certain any more when the call was to begin".to_owned();
        return Reply::Retry { why, doubt: false, retry_after: None };
    }
    let asked = match &call.step {
        Step::Preflight => target.preflight(call),
        Step::Submit => target.submit(call),
        Step::Find => target.find(call),
        Step::Poll { reference } => target.poll(call, reference),
        Step::Cancel { reference } => target.cancel(call, reference),
    };
    let attempt = AssertUnwindSafe(asked).catch_unwind();
    let why = match tokio::time::timeout(Duration::from_millis(left), attempt).await {
        Ok(Ok(reply)) => return reply,
        Ok(Err(_)) => "the adapter of the target panicked",
        Err(_) => "no reply before the deadline",
    };
    Reply::Retry { why: why.to_owned(), doubt: true, retry_after: None }
}

fn log(call: &Call, reply: &Reply) {
    let Call { action_id, action, attempt, step, .. } = call;
    let step = step.name();
    match reply {
        Reply::Accepted { detail, .. } => {
            tracing::info!(action_id, action, attempt, step, detail, "the target took the action");
        }
        Reply::Succeeded { detail } => tracing::info!(action_id, action, attempt, step, detail, "done"),
        Reply::Clear | Reply::Absent => tracing::debug!(action_id, action, attempt, step, "{reply:?}"),
        Reply::Running { detail } => tracing::debug!(action_id, action, attempt, step, detail, "under way"),
        Reply::Rejected { why } | Reply::Failed { why } | Reply::Barred { why, .. } => {
            tracing::error!(action_id, action, attempt, step, why, "the target refused");
        }
        Reply::Retry { why, doubt, .. } => {
            tracing::warn!(action_id, action, attempt, step, why, doubt, "a call to a target failed");
        }
    }
}
