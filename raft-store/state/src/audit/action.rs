//! Kinds of orders in the trail.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! actions {
    ($($(#[$doc:meta])* $action:ident = $name:literal,)*) => {
        /// A kind of order. It is stored by its place in this list, to whose end others are added.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub enum AuditAction {
            $($(#[$doc])* $action,)*
        }

        impl AuditAction {
            /// All kinds of orders.
            pub const ALL: &'static [Self] = &[$(Self::$action,)*];

            /// Returns the name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$action => $name,)*
                }
            }
        }
    };
}

actions! {
    /// Register a worker, or change its address or labels.
    RegisterWorker = "register-worker",
    /// Remove a worker from the registry.
    UnregisterWorker = "unregister-worker",
    /// Place nothing new on a worker.
    CordonWorker = "cordon-worker",
    /// Let a worker take tasks again.
    UncordonWorker = "uncordon-worker",
    /// Empty a worker.
    DrainWorker = "drain-worker",
    /// Change labels of a worker.
    LabelWorker = "label-worker",
    /// Submit tasks.
    SubmitTasks = "submit-tasks",
    /// Cancel a task.
    CancelTask = "cancel-task",
    /// Create a join token.
    CreateToken = "create-token",
    /// Revoke a join token.
    RevokeToken = "revoke-token",
    /// Create a user's token.
    CreateUserToken = "create-user-token",
    /// Revoke a user's token.
    RevokeUserToken = "revoke-user-token",
    /// Change settings of the cluster.
    ChangeSettings = "change-settings",
    /// Acknowledge the mass-loss alarm.
    AcknowledgeMassLoss = "acknowledge-mass-loss",
    /// Drop orphaned results.
    DropOrphans = "drop-orphans",
    /// Hand leadership over.
    TransferLeader = "transfer-leader",
    /// Add a master.
    AddMember = "add-member",
    /// Give a master a vote.
    PromoteMember = "promote-member",
    /// Give the vote of one master to another.
    ReplaceMember = "replace-member",
    /// Remove a master.
    RemoveMember = "remove-member",
    /// Save a backup.
    SaveSnapshot = "save-snapshot",
    /// Adopt an issuer of certificates.
    AdoptIssuer = "adopt-issuer",
    /// Revoke the certificates of a holder.
    RevokeCertificates = "revoke-certificates",
    /// Remove a worker, revoke its certificates and free its name.
    ForgetWorker = "forget-worker",
    /// Change the authority, step by step.
    RotateAuthority = "rotate-authority",
    /// Have a finished task run again.
    RetryTask = "retry-task",
    /// Cancel all tasks that a filter selects.
    CancelTasks = "cancel-tasks",
    /// Have all finished tasks run again that a filter selects.
    RetryTasks = "retry-tasks",
    /// Create a schedule.
    CreateSchedule = "create-schedule",
    /// Replace a schedule.
    ReplaceSchedule = "replace-schedule",
    /// Delete a schedule.
    DeleteSchedule = "delete-schedule",
    /// Pause a schedule.
    PauseSchedule = "pause-schedule",
    /// Resume a schedule.
    ResumeSchedule = "resume-schedule",
    /// Start a run of a schedule.
    RunSchedule = "run-schedule",
    /// Create a queue, or change its settings.
    PutQueue = "put-queue",
    /// Pause a queue.
    PauseQueue = "pause-queue",
    /// Resume a queue.
    ResumeQueue = "resume-queue",
    /// Delete a queue.
    DeleteQueue = "delete-queue",
}

impl AuditAction {
    /// Returns true for orders of those who submit tasks, which come in greater numbers than all others. They have
    /// at most half of the trail, so that whoever submits cannot push out what operators have done.
    #[must_use]
    pub const fn is_about_tasks(self) -> bool {
        matches!(
            self,
            Self::SubmitTasks
                | Self::CancelTask
                | Self::RetryTask
                | Self::CancelTasks
                | Self::RetryTasks
                | Self::CreateSchedule
                | Self::ReplaceSchedule
                | Self::DeleteSchedule
                | Self::PauseSchedule
                | Self::ResumeSchedule
                | Self::RunSchedule
        )
    }
}

impl fmt::Display for AuditAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no kind of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such kind of order")]
pub struct UnknownAction;

impl FromStr for AuditAction {
    type Err = UnknownAction;

    fn from_str(text: &str) -> Result<Self, UnknownAction> {
        Self::ALL.iter().copied().find(|action| action.name() == text).ok_or(UnknownAction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_read_back_from_their_names() {
        for action in AuditAction::ALL {
            assert_eq!(action.name().parse(), Ok(*action));
        }
        assert_eq!("launch".parse::<AuditAction>(), Err(UnknownAction));
    }
}
