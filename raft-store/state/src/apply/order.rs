//! Commands as the trail describes them: the kind of order, and the thing that it is about.

use std::sync::Arc;

use crate::{
    AuditAction, AuditOutcome, Command, CreateUserToken, DropOrphans, JobAction, KnownSchedule,
    LabelWorker, NoteOrder, OrphanSelection, PutQueue, PutSchedule, QueueName, QueueSettings,
    Rejection, Reply, ScheduleName, SchedulingOrder, SetSettings, StartJob, State, TaskId,
    TaskSpec, TokenId, WorkerId,
};

/// An order, as far as the trail tells of it. Nothing in it may be a secret: no digest, environment
/// or command line, and no text that an operator has written freely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    action: AuditAction,
    object: String,
    detail: String,
    /// Outcome of an order that was carried out elsewhere; absent if `apply` decides it.
    noted: Option<AuditOutcome>,
}

impl Order {
    /// Describes a command before it is applied; none if it is a duty's or a worker's.
    pub(super) fn of(command: &Command, state: &State) -> Option<Self> {
        let order = |action, object: String| Self::new(action, object, String::new());
        let on_worker = |action, worker: &WorkerId| order(action, format!("worker/{worker}"));
        let on_schedule = |action, name: &ScheduleName| order(action, format!("schedule/{name}"));
        let on_token = |action, token: &TokenId| order(action, format!("join-token/{token}"));
        let on_queue = |action, name: &QueueName| order(action, format!("queue/{name}"));
        Some(match command {
            Command::RegisterWorker(one) => on_worker(AuditAction::RegisterWorker, &one.worker),
            Command::UnregisterWorker(one) => on_worker(AuditAction::UnregisterWorker, &one.worker),
            Command::SetScheduling(one) => on_worker(action_on_scheduling(one.order), &one.worker),
            Command::LabelWorker(command) => Self::of_labels(command),
            Command::SubmitTasks(command) => Self::of_submission(&command.tasks),
            Command::SubmitGraph(command) => Self::of_submission(&command.tasks),
            Command::CancelTask(command) => Self::of_task(AuditAction::CancelTask, command.task),
            Command::RetryTask(command) => Self::of_task(AuditAction::RetryTask, command.task.id),
            Command::StartJob(command) => Self::of_job(command),
            Command::CreateToken(one) => on_token(AuditAction::CreateToken, &one.token),
            Command::RevokeToken(one) => on_token(AuditAction::RevokeToken, &one.token),
            Command::CreateUserToken(command) => Self::of_new_token(command),
            Command::RevokeUserToken(command) => {
                order(AuditAction::RevokeUserToken, format!("user-token/{}", command.token))
            }
            Command::SetSettings(command) => Self::of_settings(command, state),
            Command::AcknowledgeMassLoss => {
                order(AuditAction::AcknowledgeMassLoss, "mass-loss".to_owned())
            }
            Command::DropOrphans(DropOrphans { selection }) => Self::of_orphans(selection),
            Command::AdoptIssuer(_) => order(AuditAction::AdoptIssuer, "issuer".to_owned()),
            Command::RevokeCertificates(command) => {
                order(AuditAction::RevokeCertificates, format!("holder/{}", command.holder))
            }
            Command::RotateAuthority(command) => {
                let detail = command.step.name().to_owned();
                Self::new(AuditAction::RotateAuthority, "issuer".to_owned(), detail)
            }
            Command::ForgetWorker(one) => on_worker(AuditAction::ForgetWorker, &one.worker),
            Command::PutSchedule(command) => Self::of_schedule(command),
            Command::DeleteSchedule(one) => on_schedule(AuditAction::DeleteSchedule, &one.name),
            Command::PauseSchedule(one) => on_schedule(action_on_pause(one.is_paused), &one.name),
            Command::RunSchedule(one) => on_schedule(AuditAction::RunSchedule, &one.name),
            Command::PutQueue(command) => Self::of_queue(command),
            Command::PauseQueue(one) => on_queue(action_on_queue(one.is_paused), &one.name),
            Command::DeleteQueue(one) => on_queue(AuditAction::DeleteQueue, &one.name),
            Command::NoteOrder(NoteOrder { action, object, detail, outcome }) => {
                let noted = Some(outcome.clone());
                Self { noted, ..Self::new(*action, object.clone(), detail.clone()) }
            }
            Command::BeginTerm(_)
            | Command::ConnectWorker(_)
            | Command::DisconnectWorkers(_)
            | Command::AssignTasks(_)
            | Command::AssignAhead(_)
            | Command::HoldAttempts(_)
            | Command::StartAttempts(_)
            | Command::FinishAttempts(_)
            | Command::RequeueAttempts(_)
            | Command::Tick(_)
            | Command::AdvanceJob(_)
            | Command::ForgetDeparted(_)
            | Command::RaiseMassLoss(_)
            | Command::EndMassLoss(_)
            | Command::NoteRival(_)
            | Command::ChangeHealth(_)
            | Command::RaiseLevel(_)
            | Command::SeedSettings(_)
            | Command::IssueCertificate(_)
            | Command::PruneTrail(_)
            | Command::AdvanceSchedules(_)
            | Command::Ordered(_) => return None,
        })
    }

    const fn new(action: AuditAction, object: String, detail: String) -> Self {
        Self { action, object, detail, noted: None }
    }

    fn of_task(action: AuditAction, task: TaskId) -> Self {
        Self::new(action, format!("task/{task}"), String::new())
    }

    fn of_schedule(PutSchedule { name, plan, known, .. }: &PutSchedule) -> Self {
        let action = match known {
            KnownSchedule::None => AuditAction::CreateSchedule,
            KnownSchedule::Some => AuditAction::ReplaceSchedule,
        };
        let detail = format!("{} in {}", plan.cron, plan.zone);
        Self::new(action, format!("schedule/{name}"), detail)
    }

    fn of_queue(PutQueue { name, settings, .. }: &PutQueue) -> Self {
        let QueueSettings { weight, is_paused, max_running, max_running_per_key, rate } = settings;
        let paused = if *is_paused { ", paused" } else { "" };
        let max_running = max_running.map(|max| format!(", max_running {max}")).unwrap_or_default();
        let rate = rate.map(|rate| format!(", rate {}/{} s", rate.starts, rate.per.as_secs()));
        let detail = format!(
            "weight {weight}{paused}{max_running}, max_running_per_key {max_running_per_key}{}",
            rate.unwrap_or_default()
        );
        Self::new(AuditAction::PutQueue, format!("queue/{name}"), detail)
    }

    fn of_submission(tasks: &[Arc<TaskSpec>]) -> Self {
        let detail = format!("{} tasks", tasks.len());
        Self::new(AuditAction::SubmitTasks, "task".to_owned(), detail)
    }

    /// Names of tasks and values of labels are texts that somebody has written freely.
    fn of_job(StartJob { action, filter, by: _ }: &StartJob) -> Self {
        let states = filter.states.iter().map(|state| format!("state {state}"));
        let labels = filter.labels.iter().map(|label| format!("label {}", label.key));
        let worker = filter.worker.iter().map(|worker| format!("worker {worker}"));
        let name = filter.name_prefix.iter().map(|_| "a name".to_owned());
        let priority = filter.priority.iter().map(|priority| format!("priority {priority}"));
        let conditions = states.chain(labels).chain(worker).chain(name).chain(priority);
        let action = match action {
            JobAction::Cancel => AuditAction::CancelTasks,
            JobAction::Retry => AuditAction::RetryTasks,
        };
        Self::new(action, "job".to_owned(), conditions.collect::<Vec<_>>().join(", "))
    }

    fn of_labels(LabelWorker { worker, set, remove }: &LabelWorker) -> Self {
        let set = set.keys().map(|key| format!("+{key}"));
        let changes = set.chain(remove.iter().map(|key| format!("-{key}")));
        let detail = changes.collect::<Vec<_>>().join(" ");
        Self::new(AuditAction::LabelWorker, format!("worker/{worker}"), detail)
    }

    fn of_new_token(command: &CreateUserToken) -> Self {
        let CreateUserToken { token, user, role, scope, .. } = command;
        let scope = scope.as_ref().map(|scope| format!(", scope {scope}"));
        let detail = format!("user {user}, role {role}{}", scope.unwrap_or_default());
        Self::new(AuditAction::CreateUserToken, format!("user-token/{token}"), detail)
    }

    fn of_settings(command: &SetSettings, state: &State) -> Self {
        let known = state.settings().map(|known| &known.settings);
        let changed = known.into_iter().flat_map(|known| known.differences(&command.settings));
        let detail = changed.map(|key| key.path()).collect::<Vec<_>>().join(" ");
        Self::new(AuditAction::ChangeSettings, "settings".to_owned(), detail)
    }

    fn of_orphans(selection: &OrphanSelection) -> Self {
        let (object, detail) = match selection {
            OrphanSelection::These(ids) => match ids.as_slice() {
                [id] => (format!("orphan/{id}"), String::new()),
                ids => ("orphan".to_owned(), format!("{} results", ids.len())),
            },
            OrphanSelection::UpTo(last) => ("orphan".to_owned(), format!("up to {last}")),
        };
        Self::new(AuditAction::DropOrphans, object, detail)
    }

    /// Returns the order with what its reply says of the object, and its outcome.
    pub(super) fn ended(
        self,
        reply: &Result<Reply, Rejection>,
    ) -> (AuditAction, String, String, AuditOutcome) {
        let Self { action, mut object, mut detail, noted } = self;
        let outcome = match reply {
            Ok(reply) => {
                if let Reply::Submitted { first, .. } = reply {
                    if action == AuditAction::RunSchedule {
                        detail = format!("task {first}");
                    } else {
                        object = format!("task/{first}");
                    }
                }
                if let Reply::JobStarted(id) = reply {
                    object = format!("job/{id}");
                }
                noted.unwrap_or(AuditOutcome::Done)
            }
            Err(rejection) => AuditOutcome::Rejected { reason: rejection.name().into() },
        };
        (action, object, detail, outcome)
    }
}

const fn action_on_pause(is_paused: bool) -> AuditAction {
    if is_paused { AuditAction::PauseSchedule } else { AuditAction::ResumeSchedule }
}

const fn action_on_queue(is_paused: bool) -> AuditAction {
    if is_paused { AuditAction::PauseQueue } else { AuditAction::ResumeQueue }
}

const fn action_on_scheduling(order: SchedulingOrder) -> AuditAction {
    match order {
        SchedulingOrder::Cordon => AuditAction::CordonWorker,
        SchedulingOrder::Uncordon => AuditAction::UncordonWorker,
        SchedulingOrder::Drain { .. } => AuditAction::DrainWorker,
    }
}
