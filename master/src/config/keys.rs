//! Every key: its name, what it is for, and the field it sets.

use std::sync::LazyLock;

use daemon::config::Key;
use daemon::key;

use super::Config;

/// All keys, in the order in which `--help` and `config check` list them.
pub(super) static KEYS: LazyLock<Vec<Key<Config>>> = LazyLock::new(|| {
    vec![
        key!(
            node_id,
            "ID",
            "This master's number within the cluster; it stays when the disk is replaced"
        )
        .required(),
        key!(cluster_name, "NAME", "A name for people"),
        key!(
            initial_cluster,
            "ID=HOST:PORT,…",
            "The first members, the same on each; a master with data ignores it"
        ),
        key!(data_dir, "DIR", "Where the log and the state live").required(),
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
