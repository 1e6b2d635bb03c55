//! Encodings that level 2 has changed, with those that they had before, and those that it has added.

mod attempts;
mod tasks;

use cluster_state::{
    AdoptIssuer, AdvanceJob, AdvanceSchedules, AssignAhead, AuditRecord, Cascade, ClusterId,
    CreateUserToken, DeleteQueue, DeleteSchedule, DropOrphans, Epoch, ForgetWorker, HoldAttempts,
    HolderRecord, IssueCertificate, IssuerRecord, Job, Level, Meta, NoteOrder, Orphan, PauseQueue,
    PauseSchedule, PruneTrail, PutQueue, PutSchedule, Queue, RetryTask, RevokeCertificates,
    RevokeUserToken, RotateAuthority, RunSchedule, Schedule, SeedSettings, SetSettings,
    SettingsRecord, StartJob, SubmitGraph, TaskId, Term, Timestamp, UserToken,
};
use serde::{Deserialize, Serialize};

use super::{CodecError, Versioned, read_body, write_body};

/// The level that these encodings belong to.
const LEVEL: Level = Level(2);

/// The counters of a cluster that has not been restored or recovered yet.
#[derive(Serialize, Deserialize)]
struct MetaBefore {
    cluster: Option<ClusterId>,
    next_task: TaskId,
    now: Timestamp,
    term: Term,
    live_bytes_max: u64,
    level: Level,
    epochs_used: Epoch,
}

impl Versioned for MetaBefore {
    const TYPE: u8 = Meta::TYPE;
}

impl Versioned for Meta {
    const TYPE: u8 = 1;
    const LEVEL: Level = LEVEL;

    fn read_earlier(level: Level, body: &[u8]) -> Result<Self, CodecError> {
        let MetaBefore { cluster, next_task, now, term, live_bytes_max, level, epochs_used } =
            read_body(level, body)?;
        Ok(Self {
            cluster,
            next_task,
            now,
            term,
            live_bytes_max,
            level,
            epochs_used,
            ..Self::default()
        })
    }

    fn write_earlier(&self, _: Level, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let Self { cluster, next_task, now, term, live_bytes_max, level, epochs_used, .. } = *self;
        let before =
            MetaBefore { cluster, next_task, now, term, live_bytes_max, level, epochs_used };
        out.push(Level::FIRST.0);
        write_body(&before, out)
    }
}

impl Versioned for SettingsRecord {
    const TYPE: u8 = 13;
    const LEVEL: Level = LEVEL;
}

impl Versioned for SeedSettings {
    const TYPE: u8 = 24;
    const LEVEL: Level = LEVEL;
}

impl Versioned for SetSettings {
    const TYPE: u8 = 25;
    const LEVEL: Level = LEVEL;
}

impl Versioned for UserToken {
    const TYPE: u8 = 20;
    const LEVEL: Level = LEVEL;
}

impl Versioned for CreateUserToken {
    const TYPE: u8 = 32;
    const LEVEL: Level = LEVEL;
}

impl Versioned for RevokeUserToken {
    const TYPE: u8 = 33;
    const LEVEL: Level = LEVEL;
}

impl Versioned for Orphan {
    const TYPE: u8 = 14;
    const LEVEL: Level = LEVEL;
}

impl Versioned for RetryTask {
    const TYPE: u8 = 60;
    const LEVEL: Level = LEVEL;
}

impl Versioned for Job {
    const TYPE: u8 = 38;
    const LEVEL: Level = LEVEL;
}

impl Versioned for StartJob {
    const TYPE: u8 = 70;
    const LEVEL: Level = LEVEL;
}

impl Versioned for AdvanceJob {
    const TYPE: u8 = 71;
    const LEVEL: Level = LEVEL;
}

impl Versioned for AssignAhead {
    const TYPE: u8 = 73;
    const LEVEL: Level = LEVEL;
}

impl Versioned for HoldAttempts {
    const TYPE: u8 = 74;
    const LEVEL: Level = LEVEL;
}

impl Versioned for SubmitGraph {
    const TYPE: u8 = 62;
    const LEVEL: Level = LEVEL;
}

impl Versioned for Cascade {
    const TYPE: u8 = 62;
    const LEVEL: Level = LEVEL;
}

impl Versioned for DropOrphans {
    const TYPE: u8 = 26;
    const LEVEL: Level = LEVEL;
}

impl Versioned for IssuerRecord {
    const TYPE: u8 = 30;
    const LEVEL: Level = LEVEL;
}

impl Versioned for HolderRecord {
    const TYPE: u8 = 31;
    const LEVEL: Level = LEVEL;
}

impl Versioned for AdoptIssuer {
    const TYPE: u8 = 50;
    const LEVEL: Level = LEVEL;
}

impl Versioned for IssueCertificate {
    const TYPE: u8 = 51;
    const LEVEL: Level = LEVEL;
}

impl Versioned for RevokeCertificates {
    const TYPE: u8 = 52;
    const LEVEL: Level = LEVEL;
}

impl Versioned for ForgetWorker {
    const TYPE: u8 = 53;
    const LEVEL: Level = LEVEL;
}

impl Versioned for RotateAuthority {
    const TYPE: u8 = 54;
    const LEVEL: Level = LEVEL;
}

impl Versioned for AuditRecord {
    const TYPE: u8 = 40;
    const LEVEL: Level = LEVEL;
}

impl Versioned for NoteOrder {
    const TYPE: u8 = 41;
    const LEVEL: Level = LEVEL;
}

impl Versioned for PruneTrail {
    const TYPE: u8 = 42;
    const LEVEL: Level = LEVEL;
}

impl Versioned for Schedule {
    const TYPE: u8 = 50;
    const LEVEL: Level = LEVEL;
}

impl Versioned for PutSchedule {
    const TYPE: u8 = 80;
    const LEVEL: Level = LEVEL;
}

impl Versioned for DeleteSchedule {
    const TYPE: u8 = 81;
    const LEVEL: Level = LEVEL;
}

impl Versioned for PauseSchedule {
    const TYPE: u8 = 82;
    const LEVEL: Level = LEVEL;
}

impl Versioned for RunSchedule {
    const TYPE: u8 = 83;
    const LEVEL: Level = LEVEL;
}

impl Versioned for AdvanceSchedules {
    const TYPE: u8 = 84;
    const LEVEL: Level = LEVEL;
}

impl Versioned for Queue {
    const TYPE: u8 = 53;
    const LEVEL: Level = LEVEL;
}

impl Versioned for PutQueue {
    const TYPE: u8 = 90;
    const LEVEL: Level = LEVEL;
}

impl Versioned for PauseQueue {
    const TYPE: u8 = 91;
    const LEVEL: Level = LEVEL;
}

impl Versioned for DeleteQueue {
    const TYPE: u8 = 92;
    const LEVEL: Level = LEVEL;
}
