//! Converts a rejection of the replicated state into a problem for a client.

use cluster_state::Rejection;

use super::{ErrorKind, Fault, Outcome, Problem};

impl From<&Rejection> for ErrorKind {
    fn from(rejection: &Rejection) -> Self {
        match rejection {
            Rejection::StaleTerm { .. } => Self::NotLeader,
            Rejection::UnknownWorker { .. }
            | Rejection::NoMassLoss
            | Rejection::NoUserToken { .. }
            | Rejection::UnknownSchedule { .. }
            | Rejection::UnknownQueue { .. }
            | Rejection::UnknownOrphan { .. } => Self::NotFound,
            Rejection::InvalidToken { .. } | Rejection::RevokedCertificate { .. } => {
                Self::Forbidden
            }
            Rejection::NotLive { .. }
            | Rejection::NotQueued { .. }
            | Rejection::InactiveWorker { .. }
            | Rejection::ConstraintViolated { .. }
            | Rejection::ClosedWorker { .. }
            | Rejection::UnhealthyWorker { .. }
            | Rejection::TokenExists { .. }
            | Rejection::NoIssuer
            | Rejection::OtherIssuer
            | Rejection::RotationUnderWay
            | Rejection::NoRotation
            | Rejection::RotationTooEarly
            | Rejection::ActiveWorker { .. }
            | Rejection::UserTokenExists { .. }
            | Rejection::Oversubscribed { .. }
            | Rejection::LateRegistration { .. }
            | Rejection::BelowLevel { .. }
            | Rejection::NotRetryable { .. }
            | Rejection::ScheduleExists { .. }
            | Rejection::ScheduleBusy { .. }
            | Rejection::QueueChanged { .. }
            | Rejection::QueueInUse { .. }
            | Rejection::HeldBack { .. }
            | Rejection::SettingsChanged { .. } => Self::Conflict,
            Rejection::NameInUse { .. }
            | Rejection::LateStart { .. }
            | Rejection::BoundName { .. } => Self::NameInUse,
            Rejection::IdempotencyConflict => Self::IdempotencyConflict,
            // The same order may succeed a moment later.
            Rejection::RetriedMeanwhile
            | Rejection::NotAhead { .. }
            | Rejection::DependencyEnded { .. } => Self::Overloaded,
            Rejection::LimitReached { .. } => Self::LimitReached,
            Rejection::QueueFull { .. } => Self::QueueFull,
            Rejection::Invalid { .. }
            | Rejection::Untimely { .. }
            | Rejection::NoSuchQueue { .. }
            | Rejection::UnknownDependency { .. } => Self::InvalidTask,
            Rejection::InvalidSetting { .. } => Self::InvalidValue,
        }
    }
}

impl From<&Rejection> for Problem {
    /// Converts a rejection. A rejected command changed nothing.
    fn from(rejection: &Rejection) -> Self {
        let mut problem = Self::new(rejection.into(), rejection.to_string());
        if let Rejection::Untimely { position, field, detail } = rejection {
            let pointer = format!("/{position}/{field}");
            problem.errors = vec![Fault { pointer, detail: detail.to_string() }];
        }
        problem.with_outcome(Outcome::Rejected)
    }
}
