//! The one table that comes out, as Markdown.

use std::time::Duration;

/// Rows of figures, printed at the end; each is also said as it is found.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<[String; 3]>,
}

impl Table {
    /// Adds a figure. `others_cpu` is what other processes used meanwhile, in percent of one core.
    pub(crate) fn add(&mut self, figure: &str, value: String, others_cpu: Option<f64>) {
        let others = others_cpu.map_or_else(String::new, |percent| format!("{percent:.0} %"));
        eprintln!("{figure}: {value}");
        self.rows.push([figure.to_owned(), value, others]);
    }

    pub(crate) fn render(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::ASCII_MARKDOWN);
        table.set_header(["figure", "measured", "CPU of others"]);
        table.add_rows(&self.rows);
        table.to_string()
    }
}

/// Milliseconds with two decimals.
pub(crate) fn millis(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

/// The middle one; the lower of two.
pub(crate) fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort_unstable();
    let middle = durations.len().saturating_sub(1) / 2;
    durations.get(middle).copied().unwrap_or_default()
}
