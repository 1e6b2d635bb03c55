//! Assembles a node from its parts, and starts the tasks beside Raft.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cluster_state::Term;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::autopilot::Autopilot;
use super::founding::FirstMembers;
use super::{
    Inner, Node, NodeConfig, Stores, announcement, background, recognition, sightings, time,
};
use crate::clock::Clock;
use crate::contact::Contact;
use crate::hand_over::{HandOver, Naming};
use crate::leadership::{Leadership, Patience, Watcher};
use crate::loops::Loops;
use crate::membership::Members;
use crate::network::identity::PeerIdentity;
use crate::propose::Proposer;
use crate::propose::forward::Forwarder;
use crate::propose::local::LocalProposer;
use crate::raft::Raft;
use crate::reads::{Asker, ReadGate};
use crate::retention::Retention;
use crate::room::Room;
use crate::succession::Succession;

/// Duration of one sync from which on a leader hands over: ten times a slow disk.
const FSYNC_PATIENCE: Duration = Duration::from_secs(1);
/// Duration of one sync from which on a disk counts as hanging; only a new process may get it back.
const FSYNC_PATIENCE_FATAL: Duration = Duration::from_secs(20);

/// Parts on which all others are built.
struct Ground {
    config: NodeConfig,
    raft: Raft,
    identity: PeerIdentity,
    stores: Stores,
    members: Members,
    patience: Patience,
    tasks: TaskTracker,
    stop: CancellationToken,
    left: CancellationToken,
    loops: Loops,
}

/// Creates the node; for `pause` it elects nobody.
pub(super) fn assemble(
    config: NodeConfig,
    raft: Raft,
    identity: PeerIdentity,
    stores: Stores,
    pause: Duration,
) -> Node {
    let patience = Patience {
        quorum: config.election_timeout.1,
        fsync: FSYNC_PATIENCE,
        fsync_fatal: FSYNC_PATIENCE_FATAL,
    };
    let members = Members::new(raft.clone(), Arc::clone(&stores.book));
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let left = CancellationToken::new();
    let log_time = stores.reader.with(|state| state.meta().now);
    let clock = Clock::new(Arc::clone(&config.wall), log_time);
    let loops = Loops::new(tasks.clone(), stop.clone(), stores.fatal.clone());
    let ground =
        Ground { config, raft, identity, stores, members, patience, tasks, stop, left, loops };

    let contact = Arc::new(Contact::default());
    let hand_over = ground.hand_over();
    let room = ground.room(&hand_over);
    let leadership = ground.watch_leadership(&contact, &hand_over, &room);
    let reads = ground.reads(&leadership);
    let proposer = ground.proposer(&leadership, &clock, &room);
    ground.keep_the_log_bounded();

    let Ground { config, raft, identity, stores, members, patience, tasks, stop, left, loops } =
        ground;
    let autopilot = watch::Sender::new(config.autopilot);
    let (think, thought) = watch::channel(None);
    let inner = Inner {
        config,
        raft,
        identity,
        members,
        proposer,
        reads,
        stores,
        leadership,
        patience,
        clock,
        contact,
        hand_over,
        room,
        first_members: FirstMembers::default(),
        invitation: watch::Sender::new(None),
        expelled: watch::Sender::new(None),
        farewell: Notify::new(),
        doubted: Notify::new(),
        has_looked_back: watch::Sender::new(false),
        left,
        changing: tokio::sync::Mutex::default(),
        autopilot,
        thought,
        may_elect_from: Instant::now() + pause,
        differing_settings: Mutex::default(),
        tasks,
        stop,
    };
    let node = Node { inner: Arc::new(inner) };
    background::start(&node);
    let bounds = node.inner.autopilot.subscribe();
    loops.spawn("autopilot", |stop| Autopilot::new(node.clone(), bounds, think).run(stop));
    loops.spawn("announcement", |stop| announcement::run(node.clone(), stop));
    loops.spawn("recognition", |stop| recognition::run(node.clone(), stop));
    loops.spawn("sightings", |stop| sightings::run(node.clone(), stop));
    loops.spawn("follower's clock", |stop| time::follow_log_time(node.clone(), stop));
    node
}

impl Ground {
    fn hand_over(&self) -> HandOver {
        HandOver {
            raft: self.raft.clone(),
            acks: Arc::clone(&self.stores.acks),
            naming: Arc::new(Naming::new(self.patience.quorum)),
            lease: self.patience.quorum,
        }
    }

    fn room(&self, hand_over: &HandOver) -> Room {
        Room {
            raft: self.raft.clone(),
            space: self.stores.space.clone(),
            free_min: self.config.bounds.disk_free_min,
            shortages: Arc::clone(&self.stores.shortages),
            hand_over: hand_over.clone(),
        }
    }

    /// Starts to watch the leadership, the disk, and the leader's death.
    fn watch_leadership(
        &self,
        contact: &Arc<Contact>,
        hand_over: &HandOver,
        room: &Room,
    ) -> watch::Receiver<Leadership> {
        let (published, leadership) = watch::channel(Leadership::Leaderless { term: Term(0) });
        let watcher = Watcher {
            raft: self.raft.clone(),
            log: self.stores.log.clone(),
            contact: Arc::clone(contact),
            acks: Arc::clone(&self.stores.acks),
            hand_over: hand_over.clone(),
            room: room.clone(),
            tasks: self.tasks.clone(),
            fatal: self.stores.fatal.clone(),
            patience: self.patience,
            published,
        };
        self.loops.spawn("watch over leadership", |stop| watcher.run(stop));
        self.loops
            .spawn("watch over the disk's room", |stop| self.stores.space.clone().watch(stop));

        let succession = Succession {
            id: self.stores.log.identity().node,
            raft: self.raft.clone(),
            members: self.members.clone(),
            leadership: leadership.clone(),
            contact: Arc::clone(contact),
            lease: self.patience.quorum,
        };
        self.loops.spawn("succession", |stop| succession.run(stop));
        leadership
    }

    fn keep_the_log_bounded(&self) {
        let (log, outgoing) = (self.stores.log.clone(), Arc::clone(&self.stores.outgoing));
        let space = (self.stores.space.clone(), self.config.bounds.disk_free_min);
        let retention = Retention::new(self.raft.clone(), log, outgoing, space, self.config.log);
        self.loops.spawn("retention of the log", |stop| retention.run(stop));
    }

    fn reads(&self, leadership: &watch::Receiver<Leadership>) -> ReadGate {
        let asker = Asker {
            raft: self.raft.clone(),
            acks: Arc::clone(&self.stores.acks),
            identity: self.identity.clone(),
            members: self.members.clone(),
            leadership: leadership.clone(),
        };
        let applied = self.stores.reader.watch_applied();
        let (reads, readers) = ReadGate::new(applied, self.left.clone());
        self.loops.spawn("asker for read points", |stop| asker.run(readers, stop));
        reads
    }

    fn proposer(
        &self,
        leadership: &watch::Receiver<Leadership>,
        clock: &Clock,
        room: &Room,
    ) -> Proposer {
        let (raft, reader) = (self.raft.clone(), self.stores.reader.clone());
        let (bounds, room) = (self.config.bounds, room.clone());
        let local = LocalProposer::new(raft, reader, clock.clone(), bounds, room);
        let (identity, members) = (self.identity.clone(), self.members.clone());
        Proposer {
            local: Arc::new(local),
            forwarder: Forwarder::new(identity, members, self.tasks.clone()),
            leadership: leadership.clone(),
            left: self.left.clone(),
            observer: OnceLock::new(),
        }
    }
}
