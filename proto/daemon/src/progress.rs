//! A line on standard error that shows how far something has come.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Time after which something takes long enough to be shown.
const SILENT: Duration = Duration::from_secs(1);
/// Interval between two updates.
const INTERVAL: Duration = Duration::from_millis(100);
/// Number of signs of the bar.
const BAR_LEN: u64 = 30;

/// Progress of something that takes long, for a person who waits for it.
#[derive(Debug)]
pub struct Progress {
    verb: &'static str,
    is_watched: bool,
    started: Instant,
    shown: Option<Instant>,
}

impl Progress {
    /// Begins; `verb` says what has become of the part that is done.
    #[must_use]
    pub fn new(verb: &'static str) -> Self {
        let is_watched = io::stderr().is_terminal();
        Self { verb, is_watched, started: Instant::now(), shown: None }
    }

    /// Shows the number of bytes, if it is time for that.
    pub fn show(&mut self, bytes: u64, of: u64) {
        let verb = self.verb;
        self.show_line(|| {
            let of_all = format!("{} of {}", binary_size(bytes), binary_size(of));
            line(verb, (bytes, of), &of_all)
        });
    }

    /// Shows which part of something is done, and a text that says more, if it is time for that.
    pub fn show_part(&mut self, done: u64, of: u64, text: &str) {
        let verb = self.verb;
        self.show_line(|| line(verb, (done, of), text));
    }

    fn show_line(&mut self, line: impl FnOnce() -> String) {
        let now = Instant::now();
        let is_due = self.shown.is_none_or(|shown| now - shown >= INTERVAL);
        if self.is_watched && is_due && now - self.started >= SILENT {
            self.shown = Some(now);
            write(&format!("\r{}\x1b[K", line()));
        }
    }

    /// Removes the line.
    pub fn clear(&mut self) {
        if self.shown.take().is_some() {
            write("\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    // If standard error is closed, nobody watches, and the work goes on.
    drop(stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()));
}

fn line(verb: &str, (done, of): (u64, u64), text: &str) -> String {
    let share = |parts: u64| done.min(of).saturating_mul(parts).checked_div(of).unwrap_or(0);
    let signs = share(BAR_LEN);
    let bar = (0..BAR_LEN).map(|sign| if sign < signs { '#' } else { '.' }).collect::<String>();
    format!("[{bar}] {:>3} % {verb}, {text} ", share(100))
}

/// Formats a number of bytes with one decimal.
#[must_use]
pub fn binary_size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut tenths, mut unit) = (bytes.saturating_mul(10) / 1024, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS.get(unit).unwrap_or(&""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_it_has_come() {
        assert_eq!(
            line("saved", (3 << 20, 10 << 20), "3.0 MiB of 10.0 MiB"),
            "[#########.....................]  30 % saved, 3.0 MiB of 10.0 MiB "
        );
        assert_eq!(
            line("saved", (11, 10), "11 B of 10 B"),
            "[##############################] 100 % saved, 11 B of 10 B "
        );
        assert!(line("saved", (0, 0), "").contains("  0 %"));
    }

    #[test]
    fn sizes_have_units() {
        let of = [0, 1_023, 1_024, 1_536, 1 << 20, 5 << 30, 1 << 50].map(binary_size);
        assert_eq!(of, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "5.0 GiB", "1024.0 TiB"]);
    }
}
