//! Facts on the process itself, read from `/proc`. Where that does not exist (other systems than
//! Linux), or a line of it cannot be read, the metric is absent rather than wrong.

use std::fs;

use super::catalogue::Id;
use super::page::Page;

/// Clock ticks a second in `/proc/*/stat`. Linux fixes USER_HZ at 100 for programs on every
/// architecture that plimsoll builds for, whatever the kernel's own rate is (`man 5 proc`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Adds what is known of the process.
pub(super) fn collect(page: &mut Page) {
    if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(Stat::read) {
        page.number(Id::ProcessCpu, &[], stat.cpu_ticks / TICKS_PER_SECOND, true);
        let boot = fs::read_to_string("/proc/stat").ok();
        if let Some(boot) = boot.as_deref().and_then(|text| field(text, "btime ")) {
            page.number(Id::ProcessStart, &[], boot + stat.start_ticks / TICKS_PER_SECOND, true);
        }
    }
    let status = fs::read_to_string("/proc/self/status").ok();
    if let Some(kibibytes) = status.as_deref().and_then(|text| field(text, "VmRSS:")) {
        page.number(Id::ProcessMemory, &[], kibibytes * 1024.0, true);
    }
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        // One of them is the directory that is being read.
        let count = entries.count().saturating_sub(1);
        page.number(Id::ProcessFds, &[], count as f64, true);
    }
}

/// The number after `name` at the start of a line.
fn field(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

struct Stat {
    cpu_ticks: f64,
    start_ticks: f64,
}

impl Stat {
    /// Fields 14 (utime), 15 (stime) and 22 (starttime) of `man 5 proc`. The second field is the
    /// program's name in parentheses and may itself hold blanks and parentheses.
    fn read(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |index: usize| fields.get(index - 3)?.parse::<f64>().ok();
        Some(Self { cpu_ticks: number(14)? + number(15)?, start_ticks: number(22)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_stat_line_whose_program_name_holds_blanks_and_parentheses() {
        let line = "7 (a ) (b) R 1 7 7 0 -1 4194304 104 0 0 0 250 50 0 0 20 0 1 0 152688 2998272 413";
        let stat = Stat::read(line).unwrap();
        assert_eq!((stat.cpu_ticks, stat.start_ticks), (300.0, 152_688.0));
    }

    #[test]
    fn reads_a_field_and_gives_nothing_where_there_is_none() {
        assert_eq!(field("VmPeak:\t 10 kB\nVmRSS:\t    2048 kB\n", "VmRSS:"), Some(2048.0));
        assert_eq!(field("VmPeak:\t 10 kB\n", "VmRSS:"), None);
    }
}
