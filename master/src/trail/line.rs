//! Lines of the trail's file. Each says how far the trail is written: the last line that is whole is
//! the place at which a restarted master goes on.

use cluster_state::{AuditRecord, LogIndex, MasterId, Timestamp};
use proto::convert;
use proto::v1;
use serde::{Deserialize, Serialize};

use super::refusals::{RefusalKind, Refused};

/// First bytes of each file.
pub(super) const BEGINNING: &str = "{\"trail\":";

/// First line of each file.
#[derive(Debug, Clone, Serialize)]
struct Start<'a> {
    trail: &'a str,
    cluster_id: &'a str,
    master: u64,
    after: u64,
}

/// Owner of a file, as its first line tells.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Owner {
    /// Name of the cluster.
    pub(super) trail: String,
    pub(super) cluster_id: String,
    pub(super) master: u64,
}

#[derive(Debug, Serialize)]
struct Refusal<'a> {
    after: u64,
    at: String,
    refused: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<String>,
    count: u64,
    request_id: &'a str,
}

/// Place in the trail, as any line tells it.
#[derive(Debug, Deserialize)]
struct Place {
    index: Option<u64>,
    after: Option<u64>,
}

/// Returns the first line of a file that goes on after a log position.
pub(super) fn start(cluster: &str, cluster_id: &str, master: MasterId, after: LogIndex) -> String {
    line(&Start { trail: cluster, cluster_id, master: master.0, after: after.0 })
}

/// Returns whose a file is, as its first line tells.
pub(super) fn owner(line: &str) -> Option<Owner> {
    serde_json::from_str(line).ok()
}

/// Returns the line of an order.
pub(super) fn record(record: &AuditRecord) -> String {
    let shown: v1::AuditRecord = convert::audit_record(record);
    line(&shown)
}

/// Returns the line of refusals.
pub(super) fn refusal(refused: &Refused, after: LogIndex) -> String {
    let Refused { kind, count, since, request } = refused;
    let kind = kind.as_ref();
    let RefusalKind { error, principal, action, remote } = kind.cloned().unwrap_or(RefusalKind {
        error: "other",
        principal: None,
        action: None,
        remote: None,
    });
    let (after, at): (u64, Timestamp) = (after.0, *since);
    line(&Refusal {
        after,
        at: convert::rfc3339(at),
        refused: error,
        principal: principal.as_deref(),
        action,
        remote: remote.map(|remote| remote.to_string()),
        count: *count,
        request_id: request,
    })
}

/// Returns the log position up to which the trail is written, as a line tells.
pub(super) fn place(line: &str) -> Option<LogIndex> {
    let Place { index, after } = serde_json::from_str(line).ok()?;
    index.or(after).map(LogIndex)
}

fn line(value: &impl Serialize) -> String {
    // Texts and numbers always have a form in JSON, in which no line ends.
    let mut line = serde_json::to_string(value).unwrap_or_default();
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_tells_how_far_the_trail_is_written() {
        let id = "00000000-0000-0000-0000-000000000007";
        let start = start("prod", id, MasterId(3), LogIndex(17));
        let expected =
            format!("{{\"trail\":\"prod\",\"cluster_id\":\"{id}\",\"master\":3,\"after\":17}}\n");
        assert_eq!(start, expected);
        let named = Owner { trail: "prod".to_owned(), cluster_id: id.to_owned(), master: 3 };
        assert_eq!(owner(start.trim_end()), Some(named));
        assert_eq!(place(start.trim_end()), Some(LogIndex(17)));

        let (kind, request) = (None, "r-1".to_owned());
        let refused = Refused { kind, count: 2, since: Timestamp(0), request };
        let line = refusal(&refused, LogIndex(18));
        assert!(line.contains("\"refused\":\"other\",\"count\":2"), "{line}");
        assert_eq!(place(line.trim_end()), Some(LogIndex(18)));
        assert_eq!(place("{\"index\":19,\"action\":\"x\"}"), Some(LogIndex(19)));
        assert_eq!(place("{\"index\":19,"), None);
    }
}
