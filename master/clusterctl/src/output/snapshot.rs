//! Formats backups for people.

use daemon::progress::binary_size;
use proto::backup::Summary;
use serde::Serialize;

use super::table::{Style, fields, or_nothing};

/// A backup that was read and found whole.
#[derive(Debug, Serialize)]
pub struct InspectedSnapshot {
    #[serde(flatten)]
    pub summary: Summary,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its content.
    pub sha256: String,
}

/// A backup that was saved.
#[derive(Debug, Serialize)]
pub struct SavedSnapshot {
    #[serde(flatten)]
    pub summary: Summary,
    /// Name of the file.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its content.
    pub sha256: String,
    /// Time that it took.
    pub seconds: f64,
}

/// Formats a backup that was found whole.
#[must_use]
pub fn snapshot(inspected: &InspectedSnapshot, _: Style) -> String {
    let InspectedSnapshot { summary, bytes, sha256 } = inspected;
    let mut lines = of_summary(summary);
    lines.push(("size", binary_size(*bytes)));
    lines.push(("sha256", sha256.clone()));
    lines.push(("checksums", "all verified".to_owned()));
    fields(&lines)
}

/// Formats a backup that was saved.
#[must_use]
pub fn saved_snapshot(saved: &SavedSnapshot, _: Style) -> String {
    let SavedSnapshot { summary, file, bytes, seconds, .. } = saved;
    let position = summary.index.unwrap_or(0);
    format!(
        "saved {} up to entry {position} from master {} to {file} in {seconds:.1} s",
        binary_size(*bytes),
        summary.master
    )
}

fn of_summary(summary: &Summary) -> Vec<(&'static str, String)> {
    let counts = summary.tasks.iter().map(|(state, count)| format!("{count} {state}"));
    let mut tasks = counts.collect::<Vec<_>>();
    if summary.finished_tasks > 0 {
        tasks.push(format!("{} finished", summary.finished_tasks));
    }
    let tasks = if tasks.is_empty() { "none".to_owned() } else { tasks.join(", ") };
    let members = summary.members.iter().map(|member| {
        let role = if member.voter { "" } else { " (learner)" };
        format!("{}={}{role}", member.id, member.address)
    });

    vec![
        ("cluster", summary.cluster_name.clone()),
        ("cluster id", or_nothing(summary.cluster_id.as_ref())),
        ("generation", format!("{} ({})", summary.generation, summary.generation_id)),
        ("level", summary.level.to_string()),
        ("index", or_nothing(summary.index.as_ref())),
        ("term", or_nothing(summary.term.as_ref())),
        ("log time", summary.log_time.clone()),
        ("taken at", format!("{} by master {}", summary.taken_at, summary.master)),
        ("members", members.collect::<Vec<_>>().join(", ")),
        ("tasks", tasks),
        ("workers", summary.workers.to_string()),
        ("tokens", summary.tokens.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use proto::backup::BackupMember;

    use super::*;

    #[test]
    fn a_backup_is_described_line_by_line() {
        let address = "10.0.0.1:50051".to_owned();
        let summary = Summary {
            cluster_name: "prod".to_owned(),
            generation: 1,
            generation_id: "00000000000000ab".to_owned(),
            level: 2,
            index: Some(1_234),
            term: Some(7),
            log_time: "2025-11-17T10:30:00.000Z".to_owned(),
            taken_at: "2025-11-17T10:30:01.000Z".to_owned(),
            master: 3,
            members: vec![BackupMember { id: 1, address, voter: true }],
            tasks: [("queued".to_owned(), 5), ("running".to_owned(), 2)].into(),
            finished_tasks: 40,
            workers: 9,
            ..Summary::default()
        };
        let inspected = InspectedSnapshot { summary, bytes: 5 << 20, sha256: "ab".to_owned() };
        let expected = "\
cluster:    prod
cluster id: -
generation: 1 (00000000000000ab)
level:      2
index:      1234
term:       7
log time:   2025-11-17T10:30:00.000Z
taken at:   2025-11-17T10:30:01.000Z by master 3
members:    1=10.0.0.1:50051
tasks:      5 queued, 2 running, 40 finished
workers:    9
tokens:     0
size:       5.0 MiB
sha256:     ab
checksums:  all verified";
        assert_eq!(snapshot(&inspected, Style::Plain), expected);
    }
}
