//! The policy: one function that says who may do what. Pure.

use cluster_state::{Role, TextMap};
use proto::problem::{ErrorKind, Outcome, Problem};

use super::{Action, Principal};
use crate::config::{Anonymous, Config};

/// Thing that an action is about, as far as that matters.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Object<'a> {
    /// The cluster as a whole, or a thing that is not known yet.
    Cluster,
    /// A task with these labels.
    Task(&'a TextMap),
    /// All tasks at once.
    AllTasks,
}

/// Rights that the configuration of this master gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Role of anonymous callers; none if they must authenticate.
    pub(crate) anonymous: Option<Role>,
    /// True if anonymous callers may read metrics, whatever their role.
    pub(crate) anonymous_metrics: bool,
    /// True if masters and workers show certificates; others may not pose as one.
    pub(crate) has_certificates: bool,
}

/// Answer of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The principal may do it.
    Allowed,
    /// The principal may not, and might with credentials.
    Unauthenticated,
    /// The principal has another right than this.
    Forbidden,
    /// The principal may do it to other objects.
    OutOfScope,
}

/// Least standing that an action needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// None: everybody may, and credentials are not looked at.
    Nothing,
    /// None: everybody may who presents no wrong credentials.
    Anyone,
    /// A role, or a higher one.
    Role(Role),
    /// To be a worker.
    Worker,
    /// To be a master.
    Master,
}

pub(crate) const fn need(action: Action) -> Need {
    match action {
        // Whoever asks for a certificate shows a token or a certificate with the request itself.
        Action::Probe | Action::JoinCluster => Need::Nothing,
        Action::LoadPages | Action::WhoAmI => Need::Anyone,
        Action::ReadMetrics | Action::Read | Action::ReadTasks => Need::Role(Role::Viewer),
        Action::ReadEnvironment | Action::SubmitTasks | Action::CancelTasks => {
            Need::Role(Role::Submitter)
        }
        Action::ManageWorkers
        | Action::ManageJoinTokens
        | Action::Lead
        | Action::ChangeSettings
        | Action::Upgrade => Need::Role(Role::Operator),
        Action::ManageMembers
        | Action::SaveBackup
        | Action::ManageUsers
        | Action::ReadAudit
        | Action::ManageCertificates => Need::Role(Role::Admin),
        Action::ServeAsWorker => Need::Worker,
        Action::ServeAsMaster => Need::Master,
    }
}

impl Policy {
    /// Returns the policy of a configuration, in which nothing that was not given gives a right.
    pub(crate) fn of(config: &Config) -> Self {
        let anonymous = config.access.anonymous.and_then(|Anonymous(role)| role);
        let anonymous_metrics = config.access.anonymous_metrics.unwrap_or(false);
        let has_certificates = config.tls.files().is_some();
        Self { anonymous, anonymous_metrics, has_certificates }
    }

    /// Decides whether a principal may do something to an object.
    ///
    /// | action | viewer | submitter | operator | admin | worker | master | anonymous |
    /// | --- | --- | --- | --- | --- | --- | --- | --- |
    /// | probe; ask for a certificate | yes | yes | yes | yes | yes | yes | yes |
    /// | load pages; ask who one is | yes | yes | yes | yes | yes | yes | yes |
    /// | read metrics | yes | yes | yes | yes | | yes | by its role or `anonymous_metrics` |
    /// | look at the cluster | yes | yes | yes | yes | | yes | by its role |
    /// | look at tasks | in scope | in scope | yes | yes | | yes | by its role |
    /// | look at the queue | without scope | without scope | yes | yes | | yes | by its role |
    /// | look at environments; submit, cancel, retry tasks; change schedules | | in scope | yes | yes | | | by its role |
    /// | manage workers, join tokens; lead; change settings, queues; upgrade | | | yes | yes | | | by its role |
    /// | change members; save a backup; manage users, certificates; read the trail | | | | yes | | | by its role |
    /// | serve as a worker | | | | | yes | yes | without certificates |
    /// | serve as a master | | | | | | yes | without certificates |
    ///
    /// "In scope" is for tokens with a scope; those without one reach all tasks. A master may serve
    /// as a worker because it passes on the calls of workers.
    pub(crate) fn allows(
        self,
        principal: &Principal,
        action: Action,
        object: Object<'_>,
    ) -> Verdict {
        let need = need(action);
        match (principal, need) {
            (_, Need::Nothing | Need::Anyone) => Verdict::Allowed,
            (Principal::User { role, scope, .. }, Need::Role(least)) => {
                if *role < least {
                    return Verdict::Forbidden;
                }
                match (scope, object) {
                    (Some(scope), Object::Task(labels)) if !scope.covers(labels) => {
                        Verdict::OutOfScope
                    }
                    (Some(_), Object::AllTasks) => Verdict::OutOfScope,
                    (Some(_), Object::Cluster | Object::Task(_)) | (None, _) => Verdict::Allowed,
                }
            }
            (Principal::User { .. }, Need::Worker | Need::Master) => Verdict::Forbidden,

            (Principal::Anonymous, Need::Role(least)) => {
                let is_granted = self.anonymous.is_some_and(|role| role >= least);
                let is_open = action == Action::ReadMetrics && self.anonymous_metrics;
                if is_granted || is_open { Verdict::Allowed } else { Verdict::Unauthenticated }
            }
            // Without certificates masters and workers have nothing to show, so nobody is asked:
            // whoever reaches the gRPC port may serve as one.
            (Principal::Anonymous, Need::Worker | Need::Master) => {
                if self.has_certificates {
                    Verdict::Unauthenticated
                } else {
                    Verdict::Allowed
                }
            }

            (Principal::Worker(_), Need::Worker)
            | (Principal::Master(_), Need::Master | Need::Worker | Need::Role(Role::Viewer)) => {
                Verdict::Allowed
            }
            (Principal::Worker(_), Need::Master | Need::Role(_))
            | (Principal::Master(_), Need::Role(_)) => Verdict::Forbidden,
        }
    }

    /// Returns the role of a principal, if it has one.
    pub(crate) fn role(self, principal: &Principal) -> Option<Role> {
        match principal {
            Principal::User { role, .. } => Some(*role),
            Principal::Anonymous => self.anonymous,
            Principal::Worker(_) | Principal::Master(_) => None,
        }
    }

    /// Explains a verdict to the principal.
    pub(crate) fn explain(
        self,
        verdict: Verdict,
        principal: &Principal,
        action: Action,
    ) -> Result<(), Problem> {
        let (kind, detail) = match verdict {
            Verdict::Allowed => return Ok(()),
            Verdict::Unauthenticated if matches!(need(action), Need::Worker | Need::Master) => {
                let detail = format!("nobody may {action} without a certificate");
                (ErrorKind::Unauthenticated, detail)
            }
            Verdict::Unauthenticated => {
                let detail = match self.anonymous {
                    None => format!("anonymous callers may not {action}: present a token"),
                    Some(role) => format!(
                        "anonymous callers have the role {role} and may not {action}: present a token"
                    ),
                };
                (ErrorKind::Unauthenticated, detail)
            }
            Verdict::Forbidden => {
                let detail = match principal {
                    Principal::User { name, role, .. } => {
                        format!("user '{name}' has the role {role} and may not {action}")
                    }
                    Principal::Anonymous | Principal::Worker(_) | Principal::Master(_) => {
                        format!("{principal} may not {action}")
                    }
                };
                (ErrorKind::Forbidden, detail)
            }
            Verdict::OutOfScope => {
                let detail = match principal {
                    Principal::User { name, role, scope: Some(scope) } => format!(
                        "user '{name}' has the role {role} for tasks with the label {scope} and may \
                         not {action} without it"
                    ),
                    Principal::User { scope: None, .. }
                    | Principal::Anonymous
                    | Principal::Worker(_)
                    | Principal::Master(_) => format!("{principal} may not {action} like this"),
                };
                (ErrorKind::Forbidden, detail)
            }
        };
        Err(Problem::new(kind, detail).with_outcome(Outcome::Rejected))
    }
}

#[cfg(test)]
mod tests;
