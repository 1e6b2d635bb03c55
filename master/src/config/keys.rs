//! Every key: its name, what it is for, and the field it sets.

use std::sync::LazyLock;

use super::Config;
use super::value::Value;

/// One configuration key.
pub(super) struct Key {
    /// As in the file, with dots.
    pub(super) path: &'static str,
    /// As a flag, without the dashes in front.
    pub(super) flag: String,
    /// As an environment variable.
    pub(super) variable: String,
    /// What kind of value follows the flag.
    pub(super) value_name: &'static str,
    /// One sentence for `--help`.
    pub(super) help: &'static str,
    /// Reads the value into its field.
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
    /// Writes the field as TOML.
    pub(super) show: fn(&Config) -> String,
}

impl Key {
    fn new(path: &'static str, value_name: &'static str, help: &'static str) -> Self {
        let variable = format!("CLOUDAI_{}", path.replace('.', "_").to_uppercase());
        let flag = path.replace(['.', '_'], "-");
        let set = |_: &mut Config, _: &str| Ok(());
        Self { path, flag, variable, value_name, help, set, show: |_| String::new() }
    }
}

macro_rules! key {
    ($first:ident $(. $rest:ident)*, $value_name:literal, $help:literal) => {
        Key {
            set: |config, text| {
                config.$first $(. $rest)* = Value::parse(text)?;
                Ok(())
            },
            show: |config| config.$first $(. $rest)*.to_toml(),
            ..Key::new(
                concat!(stringify!($first) $(, ".", stringify!($rest))*),
                $value_name,
                $help,
            )
        }
    };
}

/// All keys, in the order in which `--help` and `config check` list them.
pub(super) static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    vec![
        key!(
            node_id,
            "ID",
            "This master's number within the cluster; it stays when the disk is replaced"
        ),
        key!(cluster_name, "NAME", "A name for people"),
        key!(
            initial_cluster,
            "ID=HOST:PORT,…",
            "The first members, the same on each; a master with data ignores it"
        ),
        key!(data_dir, "DIR", "Where the log and the state live"),
        key!(grpc_listen, "HOST:PORT", "Where gRPC listens"),
        key!(grpc_advertise, "HOST:PORT", "Where others reach this master's gRPC"),
        key!(http_listen, "HOST:PORT", "Where HTTP listens"),
        key!(
            http_names,
            "HOST,…",
            "Further host names under which HTTP is reached, as behind a proxy"
        ),
        key!(insecure, "BOOL", "Serve beyond this machine without TLS and tokens"),
        key!(raft.heartbeat_interval, "DURATION", "Between two signs of life of the leader"),
        key!(raft.election_timeout, "MIN..MAX", "Silence of the leader before an election"),
        key!(raft.snapshot_every, "COUNT", "Log entries after which a snapshot is made"),
        key!(
            raft.snapshot_every_bytes,
            "BYTES",
            "Bytes of log entries after which a snapshot is made"
        ),
        key!(raft.log_kept, "COUNT", "Log entries kept behind a snapshot"),
        key!(raft.log_kept_bytes, "BYTES", "Bytes of log entries kept behind a snapshot at most"),
        key!(
            raft.log_held_bytes,
            "BYTES",
            "Bytes of log kept for a follower that lags or is sent a snapshot; beyond, it is sent one"
        ),
        key!(reconnect.enabled, "BOOL", "Whether inactive workers are called"),
        key!(reconnect.interval, "DURATION", "Between two rounds over the inactive workers"),
        key!(reconnect.attempt_timeout, "DURATION", "How long one reconnection attempt may take"),
        key!(
            reconnect.registration_timeout,
            "DURATION",
            "How long a worker that has answered may take to register"
        ),
        key!(reconnect.max_parallel, "COUNT", "Reconnection attempts under way at once"),
        key!(
            reconnect.backoff,
            "on|off",
            "Whether the pauses between attempts at one worker grow, up to five minutes"
        ),
        key!(
            reconnect.intervals_by_priority,
            "VALUE=DURATION,…",
            "Other intervals for workers whose label priority has that value"
        ),
        key!(worker.heartbeat_interval, "DURATION", "Between two heartbeats of a worker"),
        key!(worker.heartbeat_timeout, "DURATION", "Silence after which a worker is inactive"),
        key!(
            worker.unreachable_after,
            "DURATION",
            "How long orders cannot be delivered before a worker is unreachable"
        ),
        key!(worker.lease, "DURATION", "Silence after which a worker's tasks go to others"),
        key!(
            worker.mass_loss_requeue_rate,
            "COUNT",
            "Tasks of lost workers queued again per second in a mass loss"
        ),
        key!(scheduler.strategy, "NAME", "Which workers are preferred: spread or binpack"),
        key!(limits.request_bytes, "BYTES", "Largest request body"),
        key!(limits.inflight_proposals, "COUNT", "Writes under way at once"),
        key!(limits.inflight_bytes, "BYTES", "Bytes of writes under way at once"),
        key!(limits.live_bytes, "BYTES", "Memory that live tasks may take; the leader's counts"),
        key!(limits.log_streams, "COUNT", "Logs of tasks being read at once"),
        key!(limits.body_bytes, "BYTES", "Bytes of request bodies on their way in at once"),
        key!(limits.http_connections, "COUNT", "HTTP requests under way at once"),
        key!(limits.grpc_connections, "COUNT", "Connections to the gRPC port open at once"),
        key!(
            limits.wait_requests,
            "COUNT",
            "Requests waiting for something to happen at once, at most half of the connections"
        ),
        key!(limits.ws_clients, "COUNT", "Clients watching events over a WebSocket at once"),
        key!(
            limits.disk_free_min,
            "BYTES",
            "Room on the leader's disk below which no new tasks are taken"
        ),
        key!(limits.disk_reserve, "BYTES", "Room kept for starting on a full disk"),
        key!(retention.tasks, "COUNT", "Finished tasks kept at most"),
        key!(retention.age, "DURATION", "How long a finished task is kept"),
        key!(log.level, "LEVEL", "error, warn, info, debug, trace, or directives"),
        key!(log.format, "NAME", "How log lines look: text or json"),
    ]
});

/// The key of that path.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The known path that differs in the fewest characters, when it is close enough to be meant.
pub(super) fn closest(path: &str) -> Option<&'static str> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    KEYS.iter()
        .map(|key| {
            let by_last = edits(&last(path), &last(key.path)).saturating_add(1);
            (edits(path, key.path).min(by_last), key.path)
        })
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, path)| path)
}

/// Insertions, deletions and replacements that turn one text into the other.
fn edits(from: &str, to: &str) -> usize {
    let mut row = (0..=to.chars().count()).collect::<Vec<_>>();
    for (line, a) in from.chars().enumerate() {
        let mut diagonal = line;
        let mut left = line.saturating_add(1);
        for (cell, b) in row.iter_mut().skip(1).zip(to.chars()) {
            let above = *cell;
            let replaced = diagonal.saturating_add(usize::from(a != b));
            *cell = replaced.min(above.saturating_add(1)).min(left.saturating_add(1));
            diagonal = above;
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = line.saturating_add(1);
        }
    }
    row.last().copied().unwrap_or_default()
}
