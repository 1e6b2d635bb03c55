//! Reads the CPU time and memory of a process on this machine from the kernel.

use std::io;
use std::time::Duration;

/// The kernel counts processor time in hundredths of a second, whatever its own tick is.
const TICK: Duration = Duration::from_millis(10);

/// Processor time of a process in user and kernel mode.
pub(crate) fn cpu_time(pid: u32) -> io::Result<Duration> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat"))?)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Bytes of memory that a process holds.
pub(crate) fn resident_bytes(pid: u32) -> io::Result<u64> {
    parse_status(&std::fs::read_to_string(format!("/proc/{pid}/status"))?)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse_stat(text: &str) -> Option<Duration> {
    // The name in parentheses may contain anything.
    let (_, fields) = text.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let ticks = times.next()?.parse::<u32>().ok()? + times.next()?.parse::<u32>().ok()?;
    Some(TICK.saturating_mul(ticks))
}

fn parse_status(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_understood() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 1 0 99 1 2 3";
        assert_eq!(parse_stat(stat), Some(Duration::from_secs(2)));
        assert_eq!(parse_status("VmHWM:\t 9 kB\nVmRSS:\t  12 kB\n"), Some(12 << 10));
        assert_eq!(parse_status(""), None);
    }

    #[test]
    fn this_process_uses_something() {
        assert!(resident_bytes(std::process::id()).unwrap() > 0);
        cpu_time(std::process::id()).unwrap();
    }
}
