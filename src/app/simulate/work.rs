//! Independent units of work over a few threads, in a result that does not show how they were
//! spread; progress on standard error.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How often progress is shown.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// How work is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    /// Threads, at least one.
    pub(super) threads: usize,
    /// Whether to show progress on standard error.
    pub(super) progress: bool,
}

impl Work {
    /// `unit(0)` to `unit(count - 1)`, in this order.
    pub(super) fn spread<T: Send>(
        self,
        name: &str,
        count: usize,
        unit: impl Fn(usize) -> T + Sync,
    ) -> Vec<T> {
        let (next, done, began) = (AtomicUsize::new(0), AtomicUsize::new(0), Instant::now());
        let worker = |first: bool| {
            let (mut results, mut shown) = (Vec::new(), Instant::now());
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return results;
                }
                results.push((number, unit(number)));
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                if self.progress && first && shown.elapsed() >= PROGRESS_EVERY {
                    shown = Instant::now();
                    eprintln!("{name}: {} % after {} s", 100 * done / count, began.elapsed().as_secs());
                }
            }
        };
        let mut results = std::thread::scope(|scope| {
            let worker = &worker;
            let others: Vec<_> = (1..self.threads.clamp(1, count.max(1)))
                .map(|_| scope.spawn(move || worker(false)))
                .collect();
            let mut results = worker(true);
            for other in others {
                match other.join() {
                    Ok(more) => results.extend(more),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            results
        });
        results.sort_unstable_by_key(|(number, _)| *number);
        if self.progress {
            eprintln!("{name}: done in {:.1} s", began.elapsed().as_secs_f64());
        }
        results.into_iter().map(|(_, result)| result).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_units() {
        for threads in [0, 1, 3] {
            let squares = Work { threads, progress: false }.spread("squares", 50, |i| i * i);
            assert_eq!(squares, (0..50).map(|i| i * i).collect::<Vec<_>>());
        }
        let nothing = Work { threads: 4, progress: false }.spread("nothing", 0, |i| i);
        assert!(nothing.is_empty());
    }
}
