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
            "This master's name within the cluster, a number; it stays when the disk is replaced"
        )
        .required(),
        key!(cluster_name, "NAME", "Name of the cluster, the same on each master"),
        key!(
            initial_cluster,
            "ID=HOST:PORT,…",
            "The first members, the same on each: they found the cluster; a master with data looks there for members that have moved"
        ),
        key!(
            join,
            "HOST:PORT,…",
            "Masters of the cluster to join; a master with data looks there for members that have moved"
        ),
        key!(zone, "NAME", "Zone of this master: voters in different ones are preferred"),
        key!(data_dir, "DIR", "Directory of the log and the state").required(),
        key!(grpc_listen, "HOST:PORT", "Address on which gRPC listens"),
        key!(grpc_advertise, "HOST:PORT", "Address under which others reach this master's gRPC"),
        key!(http_listen, "HOST:PORT", "Address on which HTTP listens"),
        key!(
            http_names,
            "HOST,…",
            "Further host names under which HTTP is reached, as behind a proxy"
        ),
        key!(tls.certificate, "FILE", "Certificate of this master, and of its issuers, in PEM"),
        key!(tls.key, "FILE", "Key of the certificate"),
        key!(tls.ca, "FILE", "Certificates that are trusted to issue those of others"),
        key!(
            tls.renew,
            "BOOL",
            "Renew that certificate in its place, once the cluster issues certificates"
        ),
        key!(issuing.life, "DURATION", "Lifetime of certificates that this master issues"),
        key!(insecure, "BOOL", "Serve beyond this machine without TLS"),
        key!(
            access.anonymous,
            "ROLE",
            "Rights of callers without token and certificate: admin, operator, submitter, viewer or none; admin if not given where there is no TLS"
        ),
        key!(
            access.anonymous_metrics,
            "BOOL",
            "Let callers without token and certificate read metrics; if not given, as long as they have a role"
        ),
        key!(
            access.token_file,
            "FILE",
            "Tokens that are good until an admin has one of the cluster's own: a line each, NAME ROLE TOKEN"
        ),
        key!(
            access.oidc.issuer,
            "URL",
            "Issuer whose tokens (JWT) are good, exactly as they name it; none without it"
        ),
        key!(access.oidc.audience, "NAME", "Audience that they must name"),
        key!(
            access.oidc.jwks,
            "FILE|URL",
            "Keys of the issuer; if not given, the issuer says where they are (OpenID Connect Discovery)"
        ),
        key!(
            access.oidc.ca,
            "FILE",
            "Certificates that are trusted to issue that of the web server with the keys; if not given, those of the system"
        ),
        key!(
            access.oidc.name_claim,
            "CLAIM",
            "Claim with the name of the user, who is called user:oidc/NAME"
        ),
        key!(
            access.oidc.role_claim,
            "CLAIM",
            "Claim with a text or a list of texts that stand for roles"
        ),
        key!(
            access.oidc.roles,
            "VALUE=ROLE,…",
            "Roles that they stand for, of which the highest counts; a table in a file"
        ),
        key!(
            access.oidc.scope,
            "KEY=CLAIM",
            "Label of the only tasks that viewers and submitters may know of: its key, and the claim with its value"
        ),
        key!(access.oidc.leeway, "DURATION", "Difference between clocks that is forgiven"),
        key!(raft.heartbeat_interval, "DURATION", "Interval between leader heartbeats"),
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
        key!(reconnect.enabled, "BOOL", "Contact inactive workers"),
        key!(
            reconnect.interval,
            "DURATION",
            "Interval between rounds of contacts with inactive workers"
        ),
        key!(
            reconnect.attempt_timeout,
            "DURATION",
            "Timeout of one contact with an inactive worker"
        ),
        key!(
            reconnect.registration_timeout,
            "DURATION",
            "Time that a contacted worker has to register"
        ),
        key!(reconnect.max_parallel, "COUNT", "Maximum number of contacts at the same time"),
        key!(
            reconnect.backoff,
            "on|off",
            "Lengthen the pauses between contacts with one worker, up to five minutes"
        ),
        key!(
            reconnect.intervals_by_priority,
            "VALUE=DURATION,…",
            "Intervals for workers by the value of their label priority"
        ),
        key!(worker.heartbeat_interval, "DURATION", "Interval between heartbeats of a worker"),
        key!(worker.heartbeat_timeout, "DURATION", "Silence after which a worker is inactive"),
        key!(
            worker.unreachable_after,
            "DURATION",
            "Time without delivered orders after which a worker is unreachable"
        ),
        key!(worker.lease, "DURATION", "Silence after which a worker's tasks go to others"),
        key!(
            worker.mass_loss_requeue_rate,
            "COUNT",
            "Tasks of lost workers queued again per second in a mass loss"
        ),
        key!(scheduler.strategy, "NAME", "Preference among workers: spread or binpack"),
        key!(limits.request_bytes, "BYTES", "Largest request body"),
        key!(limits.inflight_proposals, "COUNT", "Maximum number of pending writes"),
        key!(limits.inflight_bytes, "BYTES", "Maximum bytes of pending writes"),
        key!(limits.live_bytes, "BYTES", "Memory that live tasks may take"),
        key!(limits.log_streams, "COUNT", "Maximum number of task logs read at the same time"),
        key!(limits.body_bytes, "BYTES", "Maximum bytes of incoming request bodies"),
        key!(limits.http_connections, "COUNT", "HTTP requests under way at once"),
        key!(limits.grpc_connections, "COUNT", "Maximum number of connections to the gRPC port"),
        key!(
            limits.requests_per_second,
            "COUNT",
            "Maximum number of requests of one user, or of one address without credentials, in a second; 0 for no maximum"
        ),
        key!(
            limits.wait_requests,
            "COUNT",
            "Maximum number of waiting requests, at most half of the connections"
        ),
        key!(limits.ws_clients, "COUNT", "Maximum number of clients that watch events"),
        key!(
            limits.disk_free_min,
            "BYTES",
            "Free space on its disk below which a master counts as full: no new tasks when a quorum needs it"
        ),
        key!(limits.disk_reserve, "BYTES", "Space reserved for starting on a full disk"),
        key!(retention.tasks, "COUNT", "Maximum number of finished tasks kept"),
        key!(retention.age, "DURATION", "Age at which finished tasks are forgotten"),
        key!(audit.records, "COUNT", "Maximum number of orders kept in the trail"),
        key!(audit.age, "DURATION", "Age at which orders in the trail are forgotten"),
        key!(audit.submissions, "BOOL", "Put submissions of tasks on record, too"),
        key!(
            audit.file,
            "FILE",
            "File to which this master appends the trail, as lines of JSON; within data_dir if it is relative, none without it"
        ),
        key!(audit.file_bytes, "BYTES", "Bytes of the file after which another is begun"),
        key!(audit.file_keep, "COUNT", "Number of older files that are kept"),
        key!(upgrade.hold, "BOOL", "Keep the feature level, so that masters can go back a release"),
        key!(
            autopilot.enabled,
            "BOOL",
            "Give votes to masters that have caught up, and to others those of masters that are gone"
        ),
        key!(
            autopilot.stable_for,
            "DURATION",
            "Time for which a master must stay close before it gets a vote"
        ),
        key!(
            autopilot.replace_after,
            "DURATION",
            "Absence after which a master loses its vote to one that waits for a vote"
        ),
        key!(autopilot.voters, "COUNT", "Number of votes to give; 0 for one to each master"),
        key!(
            backup.directory,
            "DIR",
            "Directory that this master saves backups to; none without it"
        ),
        key!(backup.interval, "DURATION", "Time between two backups"),
        key!(backup.keep, "COUNT", "Number of backups that are kept"),
        key!(log.level, "LEVEL", "error, warn, info, debug, trace, or directives"),
        key!(log.format, "NAME", "Format of log lines: text or json"),
    ]
});
