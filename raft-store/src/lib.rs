//! Replication and storage: the only package that knows Raft and RocksDB.

mod acks;
mod backup;
mod calls;
mod clock;
mod codec;
mod contact;
mod disk_space;
mod error;
mod fatal;
mod files;
#[cfg(test)]
mod fuzz_tests;
mod guard;
mod hand_over;
mod history;
mod identity;
mod inspection;
mod keys;
mod leadership;
mod log_node;
mod log_store;
mod loops;
mod member_news;
mod membership;
mod network;
mod node;
mod open;
mod payload;
mod presence;
mod propose;
mod raft;
mod raft_service;
mod rarely;
mod reads;
mod recovery;
mod restore;
mod retention;
mod rocks;
mod room;
mod seen;
mod shortages;
mod snapshot;
mod state_db;
mod state_machine;
mod succession;
mod torn;
mod types;

pub use backup::{Backup, BackupFailure};
pub use clock::survey::{CLOCK_OFFSET_MAX, ClockSurvey, is_astray};
pub use clock::{Clock, SystemClock, WallClock};
pub use codec::{CodecError, decode_proposal, encode_proposal};
pub use error::{GuardError, OpenError, StartError, StorageError};
pub use fatal::{Ending, Fatal};
pub use history::FinishedTasks;
pub use identity::{Identity, Owner};
pub use inspection::{Content, Inspection, RecordedMembers, Unusable, inspect};
pub use leadership::{Leadership, Patience};
pub use log_node::VoteGiver;
pub use log_store::{LogOptions, LogStats, LogStore, SyncObserver, Synced};
pub use loops::Loops;
pub use member_news::{MemberEvent, MemberNews};
pub use membership::{LAG_MAX, LocalStatus, Member, Role};
pub use node::{
    Added, Expulsion, Force, MemberChange, MemberOrder, Membership, MembershipError, Node,
    NodeConfig, PeerStatus, PeerStatuses, Thought, TransferError,
};
pub use open::{Store, StoreConfig};
pub use presence::{
    Account, PresentMember, StillAlive, check_is_gone, present_at, present_members,
};
pub use propose::{CommitObserver, Committed, ProposalBounds, ProposeError};
pub use raft_service::{RaftEndpoint, RaftServer};
pub use reads::{ReadError, ReadPoint};
pub use recovery::{PlanError, Recovery, RecoveryPlan, RecoveryReport, VoterFound};
pub use restore::{Restoration, RestoreError, RestoreReport};
pub use retention::{LogBounds, LogExtent};
pub use rocks::files_per_database;
pub use snapshot::{
    CHUNK_BYTES_MAX, Chunk, ChunkReader, InvalidManifest, Manifest, ManifestFile, SnapshotData,
    SnapshotFailures,
};
pub use state_machine::{
    AppliedBatch, ApplyObserver, Published, RaftSnapshot, ReceiveError, SnapshotBuilder,
    SnapshotInbox, SnapshotReceiver, StateMachine, StateReader,
};
pub use types::{
    AppliedAt, Entry, LogId, MasterNode, NodeId, Outcome, Payload, SnapshotMeta, StoredMembership,
    TypeConfig, Vote, log_id,
};
