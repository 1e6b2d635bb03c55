//! The trail: who gave which order, when and from where, and what became of it.

mod action;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::action::AuditAction;
use crate::{Level, Limits, LogIndex, Timestamp};

/// Bytes of a record of the trail beside its texts: the record, and its places in the indexes.
const RECORD_BYTES: u64 = 256;

/// The one who gave an order, as the master knows that took it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Actor {
    /// The principal, as in `user:ada`.
    pub principal: String,
    /// Id of the request, which the logs of the master and the answer have, too.
    pub request: String,
    /// Address from which the request came; absent if it was not known.
    pub remote: Option<String>,
}

/// One order, in the trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Number of the record, one above that of the record before: where numbers are missing, records
    /// were forgotten.
    pub number: u64,
    /// Log position of the order, or of the note of it. No two records have the same.
    pub index: LogIndex,
    /// Time of the order.
    pub at: Timestamp,
    /// The one who gave it.
    pub actor: Actor,
    /// The kind of order.
    pub action: AuditAction,
    /// The thing that it is about, as in `worker/w1`.
    pub object: String,
    /// Further particulars, without secrets; may be empty.
    pub detail: String,
    /// The effect that it had.
    pub outcome: AuditOutcome,
}

/// Effect of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuditOutcome {
    /// It was about to be carried out, outside of the replicated state.
    Begun,
    /// It took effect, or had taken effect before.
    Done,
    /// It was refused, and changed nothing.
    Rejected {
        /// Name of the kind of refusal.
        reason: Arc<str>,
    },
    /// It may or may not have taken effect.
    Unknown {
        /// Name of the kind of failure.
        reason: Arc<str>,
    },
}

impl AuditRecord {
    /// Level from which on a cluster has a trail.
    pub const LEVEL: Level = Level(2);

    /// Returns the bytes of memory that it takes, by an account that never changes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let Self { actor, object, detail, outcome, .. } = self;
        let Actor { principal, request, remote } = actor;
        let remote = remote.as_ref().map_or(0, String::len);
        let reason = outcome.reason().map_or(0, str::len);
        let texts = [principal.len(), request.len(), remote, object.len(), detail.len(), reason];
        // Widening conversions.
        RECORD_BYTES + texts.into_iter().map(|bytes| bytes as u64).sum::<u64>()
    }
}

impl AuditOutcome {
    /// All names of outcomes.
    pub const NAMES: [&str; 4] = ["begun", "done", "rejected", "unknown"];

    /// Returns the name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Done => "done",
            Self::Rejected { .. } => "rejected",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// Returns the name of the kind of refusal or failure, if it is one.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Rejected { reason } | Self::Unknown { reason } => Some(reason),
            Self::Begun | Self::Done => None,
        }
    }

    fn cut(self, bytes_max: usize) -> Self {
        let cut_text = |reason: Arc<str>| match reason.len() > bytes_max {
            true => cut(reason.to_string(), bytes_max).into(),
            false => reason,
        };
        match self {
            Self::Rejected { reason } => Self::Rejected { reason: cut_text(reason) },
            Self::Unknown { reason } => Self::Unknown { reason: cut_text(reason) },
            Self::Begun | Self::Done => self,
        }
    }
}

impl AuditRecord {
    /// Returns the record with its texts cut to what one may have: another master has written them.
    pub(crate) fn cut(self, limits: &Limits) -> Self {
        let most = limits.audit_text_bytes_max;
        let Actor { principal, request, remote } = self.actor;
        let actor = Actor {
            principal: cut(principal, most),
            request: cut(request, most),
            remote: remote.map(|remote| cut(remote, most)),
        };
        let (object, detail) = (cut(self.object, most), cut(self.detail, most));
        Self { actor, object, detail, outcome: self.outcome.cut(most), ..self }
    }
}

fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}
