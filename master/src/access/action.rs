//! Actions: the kinds of things that a call may do.

use std::fmt;

/// A kind of thing that one may do. Each route and each method names its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Action {
    /// Ask whether this master is up, and which calls it takes.
    Probe,
    /// Load pages that are part of the program, and hold nothing of the cluster.
    LoadPages,
    /// Ask as whom this master sees the caller.
    WhoAmI,
    /// Read the metrics of this master.
    ReadMetrics,
    /// Look at masters, workers, settings, events and backlogs.
    Read,
    /// Look at tasks and at what they have written.
    ReadTasks,
    /// Look at the environment of tasks, without secret values.
    ReadEnvironment,
    /// Submit tasks.
    SubmitTasks,
    /// Cancel tasks.
    CancelTasks,
    /// Register, label, cordon, drain, contact and unregister workers.
    ManageWorkers,
    /// Create, list and revoke join tokens, which admit workers.
    ManageJoinTokens,
    /// Hand leadership over, acknowledge alarms, and drop orphaned results.
    Lead,
    /// Change the settings of the cluster, and its queues.
    ChangeSettings,
    /// Hold or release the feature level.
    Upgrade,
    /// Add, promote, replace and remove masters.
    ManageMembers,
    /// Save a backup, which holds everything that the cluster knows.
    SaveBackup,
    /// Create, list and revoke tokens of users.
    ManageUsers,
    /// Read the trail of orders.
    ReadAudit,
    /// Learn what the cluster trusts, and ask for a certificate.
    JoinCluster,
    /// Hand an issuer of certificates over, and revoke certificates.
    ManageCertificates,
    /// Register as a worker, send heartbeats, report results.
    ServeAsWorker,
    /// Replicate the log, and pass calls on to the leader.
    ServeAsMaster,
}

impl Action {
    /// All actions.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 22] = [
        Self::Probe,
        Self::LoadPages,
        Self::WhoAmI,
        Self::ReadMetrics,
        Self::Read,
        Self::ReadTasks,
        Self::ReadEnvironment,
        Self::SubmitTasks,
        Self::CancelTasks,
        Self::ManageWorkers,
        Self::ManageJoinTokens,
        Self::Lead,
        Self::ChangeSettings,
        Self::Upgrade,
        Self::ManageMembers,
        Self::SaveBackup,
        Self::ManageUsers,
        Self::ReadAudit,
        Self::JoinCluster,
        Self::ManageCertificates,
        Self::ServeAsWorker,
        Self::ServeAsMaster,
    ];

    /// Returns true if it is an order of somebody who runs the cluster: such are few, and worth a line
    /// in the log.
    pub(super) const fn is_order(self) -> bool {
        match self {
            Self::Probe
            | Self::LoadPages
            | Self::WhoAmI
            | Self::ReadMetrics
            | Self::Read
            | Self::ReadTasks
            | Self::ReadEnvironment
            | Self::SubmitTasks
            | Self::CancelTasks
            | Self::ReadAudit
            | Self::JoinCluster
            | Self::ServeAsWorker
            | Self::ServeAsMaster => false,
            Self::ManageWorkers
            | Self::ManageJoinTokens
            | Self::Lead
            | Self::ChangeSettings
            | Self::ManageMembers
            | Self::Upgrade
            | Self::SaveBackup
            | Self::ManageCertificates
            | Self::ManageUsers => true,
        }
    }

    /// Returns true if users take it, whose requests are counted.
    pub(crate) const fn is_for_users(self) -> bool {
        match self {
            Self::Probe | Self::ServeAsWorker | Self::ServeAsMaster => false,
            Self::LoadPages
            | Self::WhoAmI
            | Self::ReadMetrics
            | Self::Read
            | Self::ReadTasks
            | Self::ReadEnvironment
            | Self::SubmitTasks
            | Self::CancelTasks
            | Self::ManageWorkers
            | Self::ManageJoinTokens
            | Self::Lead
            | Self::ChangeSettings
            | Self::ManageMembers
            | Self::Upgrade
            | Self::SaveBackup
            | Self::ManageUsers
            | Self::JoinCluster
            | Self::ManageCertificates
            | Self::ReadAudit => true,
        }
    }

    /// Returns it as a refusal says it: "may not …".
    pub(crate) const fn phrase(self) -> &'static str {
        match self {
            Self::Probe => "probe a master",
            Self::LoadPages => "load pages",
            Self::WhoAmI => "ask who they are",
            Self::ReadMetrics => "read metrics",
            Self::Read => "look at the cluster",
            Self::ReadTasks => "look at tasks",
            Self::ReadEnvironment => "look at the environment of tasks",
            Self::SubmitTasks => "submit tasks",
            Self::CancelTasks => "cancel tasks",
            Self::ManageWorkers => "manage workers",
            Self::ManageJoinTokens => "manage join tokens",
            Self::Lead => "hand leadership over, acknowledge alarms or drop orphaned results",
            Self::ChangeSettings => "change settings",
            Self::ManageMembers => "change the members",
            Self::Upgrade => "hold or release the feature level",
            Self::SaveBackup => "save a backup",
            Self::ManageUsers => "manage users",
            Self::ReadAudit => "read the trail of orders",
            Self::JoinCluster => "ask for a certificate",
            Self::ManageCertificates => "manage certificates",
            Self::ServeAsWorker => "serve as a worker",
            Self::ServeAsMaster => "serve as a master",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.phrase())
    }
}
