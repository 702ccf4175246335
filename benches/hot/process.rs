//! What the kernel says of this process. Linux only; elsewhere the figures are absent.

use std::fs;
use std::time::Duration;

/// Clock ticks in a second, as `/proc` counts CPU time: `USER_HZ`, which is 100 on every Linux
/// platform that this runs on (proc(5), `getconf CLK_TCK`).
const TICKS: f64 = 100.0;

/// User and system CPU seconds of all threads so far, in steps of ten milliseconds.
pub(super) fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the command in brackets and may hold blanks; counting begins behind it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS)
}

/// CPU time of this thread, in nanoseconds (`/proc/thread-self/schedstat`); 0 where nobody tells it.
pub(super) fn thread_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// Largest resident memory since the start or the last `forget_peak`, in MiB.
pub(super) fn peak_mib() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<f64>().ok()? / 1024.0)
}

/// Begins a new peak (proc(5), `clear_refs`). Where the kernel refuses, the peak is that of the
/// whole process, which is larger.
pub(super) fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// The machine's load averages, as the kernel prints them.
pub(super) fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
