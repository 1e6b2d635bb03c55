//! Divides the open files that the system allows: the number of connections follows from it, so
//! that the storage never runs out of files.
//!
//! Each port has a part of its own. The rest is for the port that needs it first: a fleet that
//! dials a new leader comes to one port, and clients to the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use raft_store::files_per_database;

use crate::config::LimitsConfig;
use crate::port::Port;

/// Files of the process itself: listeners, locks, snapshots on their way, connections to masters.
const OWN_FILES: u64 = 64;
/// The log and the state.
const DATABASES: u64 = 2;
/// Connections that a leader opens to workers at once, at most.
const DIALED_MAX: u64 = 4_096;
/// The part of what the storage leaves that is kept for connections to workers.
const DIALED_PART: u64 = 4;
/// The part of the connections that clients which watch events may have.
const SOCKETS_PART: usize = 8;
/// The part of the other connections that is each port's own.
const PORT_PART: usize = 4;
/// HTTP connections that can only ask probes, beside those that requests may occupy.
const PROBES_MAX: usize = 256;
const PROBES_MIN: usize = 2;
const PROBES_PART: usize = 4;
/// With fewer files nothing can be served.
const FILES_MIN: u64 = 192;

/// The limit is too low to serve anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this process may open {limit} files only (RLIMIT_NOFILE): {FILES_MIN} are the least, \
     65536 are good"
)]
pub struct TooFewFiles {
    limit: u64,
}

/// Present limits of one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// Connections.
    pub(crate) connections: usize,
    /// Requests under way on them.
    pub(crate) requests: usize,
}

/// The part of the limits that there is no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shortage {
    /// Nothing.
    None,
    /// Of what is good where there is room, and nobody has asked for.
    OfDefaults,
    /// Of what somebody has configured.
    OfConfigured,
}

/// Divides the open files. The limit is read each time, because it can be lowered at any time.
/// Clones share what is taken.
#[derive(Clone, Debug)]
pub(crate) struct OpenFiles {
    wanted: LimitsConfig,
    limit: fn() -> u64,
    taken: Arc<Taken>,
}

/// Connections of each port, with what is kept for probes.
#[derive(Debug, Default)]
struct Taken {
    http: AtomicUsize,
    grpc: AtomicUsize,
}

/// The files that are left for connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Room {
    sockets: usize,
    /// Of each port alone.
    own: usize,
    /// Of whichever needs it.
    shared: usize,
}

impl Room {
    fn of(limit: u64, wanted: &LimitsConfig) -> Self {
        let storage = DATABASES.saturating_mul(u64::from(files_per_database(limit)));
        let rest = limit.saturating_sub(OWN_FILES).saturating_sub(storage);
        let rest = rest.saturating_sub((rest / DIALED_PART).min(DIALED_MAX));
        let rest = usize::try_from(rest).unwrap_or(usize::MAX);

        let sockets = wanted.ws_clients.min(rest / SOCKETS_PART).max(1);
        let rest = rest.saturating_sub(sockets);
        let own = rest / PORT_PART;
        Self { sockets, own, shared: rest.saturating_sub(own.saturating_mul(2)) }
    }
}

impl Room {
    /// Of both ports.
    const fn together(self) -> usize {
        self.own.saturating_mul(2).saturating_add(self.shared)
    }
}

impl OpenFiles {
    /// Of this process.
    pub(crate) fn new(limits: &LimitsConfig) -> Self {
        Self::with_limit(limits, soft_limit)
    }

    /// With a limit from elsewhere.
    pub(crate) fn with_limit(limits: &LimitsConfig, limit: fn() -> u64) -> Self {
        Self { wanted: *limits, limit, taken: Arc::default() }
    }

    /// Says once if there is less room than what is configured needs. Where that are the defaults, it
    /// is nothing to be warned of. Fails when it is hopeless.
    pub(crate) fn check(&self) -> Result<(), TooFewFiles> {
        let limit = (self.limit)();
        if limit < FILES_MIN {
            return Err(TooFewFiles { limit });
        }

        let (connections, ws_clients) = (self.room().together(), self.sockets());
        match self.shortage() {
            Shortage::None => {}
            Shortage::OfDefaults => tracing::info!(
                open_files = limit,
                connections,
                ws_clients,
                "connections are offered as the limit of open files (RLIMIT_NOFILE) allows"
            ),
            Shortage::OfConfigured => tracing::warn!(
                open_files = limit,
                connections,
                ws_clients,
                "the limit of open files (RLIMIT_NOFILE) allows fewer connections than configured"
            ),
        }
        Ok(())
    }

    fn shortage(&self) -> Shortage {
        let (wanted, default) = (self.wanted, LimitsConfig::default());
        if self.lacks(wanted) {
            // A default counts only as far as there is room for it.
            let asked = |wanted: usize, default: usize| if wanted == default { 0 } else { wanted };
            let configured = LimitsConfig {
                http_connections: asked(wanted.http_connections, default.http_connections),
                grpc_connections: asked(wanted.grpc_connections, default.grpc_connections),
                ws_clients: asked(wanted.ws_clients, default.ws_clients),
                ..wanted
            };
            return if self.lacks(configured) {
                Shortage::OfConfigured
            } else {
                Shortage::OfDefaults
            };
        }
        Shortage::None
    }

    fn lacks(&self, wanted: LimitsConfig) -> bool {
        let connections = wanted.http_connections.saturating_add(wanted.grpc_connections);
        let is_offered = self.room().together() >= connections
            && self.share(Port::Http).requests >= wanted.http_connections
            && self.share(Port::Grpc).connections >= wanted.grpc_connections;
        !is_offered || self.sockets() < wanted.ws_clients
    }

    /// Returns the present limits of a port.
    pub(crate) fn share(&self, port: Port) -> Share {
        let room = self.room();
        let others = self.taken.of(port.other()).load(Ordering::Relaxed);
        let free = room.shared.saturating_sub(others.saturating_sub(room.own));
        let connections = room.own.saturating_add(free);
        match port {
            Port::Http => {
                let probes = self.probes(room);
                let connections =
                    connections.min(self.wanted.http_connections.saturating_add(probes));
                Share { connections, requests: connections.saturating_sub(probes) }
            }
            Port::Grpc => {
                let connections = connections.min(self.wanted.grpc_connections);
                Share { connections, requests: connections }
            }
        }
    }

    /// Clients that may watch events.
    pub(crate) fn sockets(&self) -> usize {
        self.room().sockets
    }

    /// Requests that may wait for something at once: half of all at most, so that others find room.
    pub(crate) fn waiting(&self) -> usize {
        let half = (self.share(Port::Http).requests / 2).max(1);
        match self.wanted.wait_requests {
            0 => half,
            wanted => wanted.min(half),
        }
    }

    /// A port has so many connections, on which so many requests are under way.
    pub(crate) fn on_taken(&self, port: Port, connections: usize, requests: usize) {
        let needed = match port {
            // What probes may need is not given to others.
            Port::Http => requests.saturating_add(self.probes(self.room())),
            Port::Grpc => connections,
        };
        self.taken.of(port).store(connections.max(needed), Ordering::Relaxed);
    }

    fn room(&self) -> Room {
        Room::of((self.limit)(), &self.wanted)
    }

    fn probes(&self, room: Room) -> usize {
        (self.wanted.http_connections.min(room.own) / PROBES_PART).clamp(PROBES_MIN, PROBES_MAX)
    }
}

impl Taken {
    const fn of(&self, port: Port) -> &AtomicUsize {
        match port {
            Port::Http => &self.http,
            Port::Grpc => &self.grpc,
        }
    }
}

fn soft_limit() -> u64 {
    // It cannot fail for a resource that exists; without a limit there is nothing to divide.
    daemon::open_files::soft_limit().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(limit: fn() -> u64) -> OpenFiles {
        OpenFiles::with_limit(&LimitsConfig::default(), limit)
    }

    #[test]
    fn what_is_configured_is_offered_where_it_fits() {
        let limits = LimitsConfig::default();
        let files = files(|| 65_536);
        assert_eq!(files.share(Port::Http).requests, limits.http_connections);
        assert_eq!(files.share(Port::Grpc).connections, limits.grpc_connections);
        assert_eq!(files.sockets(), limits.ws_clients);
        assert_eq!(files.waiting(), limits.http_connections / 2);
    }

    #[test]
    fn everything_together_stays_below_the_limit() {
        for limit in [|| 192, || 256, || 1_024, || 4_096, || 20_000, || 1_u64 << 40] {
            for first in [Port::Http, Port::Grpc] {
                let files = files(limit);
                let most = files.share(first);
                files.on_taken(first, most.connections, most.requests);
                let rest = files.share(first.other());
                let storage = DATABASES * u64::from(files_per_database(limit()));
                let taken = most.connections + rest.connections + files.sockets();
                let all = OWN_FILES + storage + u64::try_from(taken).unwrap();
                assert!(all < limit(), "{}: {most:?} {rest:?}", limit());
                assert!(most.requests > 0 && rest.requests > 0, "{}: {most:?} {rest:?}", limit());
            }
        }
    }

    #[test]
    fn what_one_port_does_not_need_the_other_gets() {
        let files = files(|| 20_000);
        assert!(files.share(Port::Grpc).connections > 10_000, "a fleet finds room");
        files.on_taken(Port::Http, 8_000, 8_000);
        assert!(files.share(Port::Grpc).connections < 10_000);
        files.on_taken(Port::Http, 10, 10);
        assert!(files.share(Port::Grpc).connections > 10_000);
    }

    #[test]
    fn only_what_somebody_has_configured_is_worth_a_warning() {
        let shortage =
            |limits: LimitsConfig, limit| OpenFiles::with_limit(&limits, limit).shortage();
        let default = LimitsConfig::default();
        assert_eq!(shortage(default, || 65_536), Shortage::None);
        assert_eq!(shortage(default, || 20_000), Shortage::OfDefaults);
        assert_eq!(shortage(default, || 1_024), Shortage::OfDefaults);

        for (grpc_connections, shortage_at_20_000) in
            [(1_000, Shortage::None), (100_000, Shortage::OfConfigured)]
        {
            let limits = LimitsConfig { grpc_connections, ..default };
            assert_eq!(shortage(limits, || 20_000), shortage_at_20_000, "{grpc_connections}");
        }
        let limits = LimitsConfig { ws_clients: 5_000, ..default };
        assert_eq!(shortage(limits, || 20_000), Shortage::OfConfigured);
        let modest = LimitsConfig {
            http_connections: 100,
            grpc_connections: 100,
            ws_clients: 10,
            ..default
        };
        assert_eq!(shortage(modest, || 2_048), Shortage::None);
    }

    #[test]
    fn a_hopeless_limit_is_refused_with_what_is_needed() {
        let refused = files(|| 100).check().unwrap_err().to_string();
        assert!(refused.contains("100 files only") && refused.contains("192"), "{refused}");
        assert!(files(|| 192).check().is_ok());
    }
}
