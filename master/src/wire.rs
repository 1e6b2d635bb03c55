//! Converts between messages and what operations take and return, for REST and gRPC alike: the
//! messages of one are the bodies of the other.

mod audit;
mod certificates;
mod jobs;
mod members;
mod named_queues;
mod orphans;
mod queue;
mod schedules;
mod upgrade;
mod users;

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster_state::{
    LabelWorker, LogIndex, MassLoss, SetScheduling, SettingKey, SettingSource, SettingsRecord,
    TokenId, WorkerId,
};
use proto::convert;
use proto::output::OutputStream;
use proto::problem::Problem;
use proto::v1;
use raft_store::PeerStatus;
use uuid::Uuid;

pub(crate) use self::audit::audit_page;
pub(crate) use self::certificates::{
    certificate_issued, certificate_order, certificate_status, held_issuers, holder, new_issuer,
    own_rotation, roots, rotation_order,
};
pub(crate) use self::jobs::jobs;
pub(crate) use self::members::{member_changed, members};
pub(crate) use self::named_queues::{named_queue, queue_list};
pub(crate) use self::orphans::{orphan_page, orphans_dropped};
pub(crate) use self::queue::{queue_summary, task_explanation};
pub(crate) use self::schedules::{next_runs, schedule, schedule_page};
pub(crate) use self::upgrade::upgrade;
pub(crate) use self::users::{caller_identity, created_user_token, user_tokens};
use crate::operations::{
    ClusterView, CreatedToken, Dependents, LeaderView, LogPiece, MemberView, NewToken,
    ReconnectOutcome, SettingsChange, ShownTask, TaskPage, TaskStatus, TaskView, Tokens, View,
    WorkerPage, WorkerView,
};
use crate::{config, ids};

/// Letters of a drawn name: enough to tell tokens apart by eye.
const DRAWN_NAME_LEN: usize = 8;

/// Converts tasks that were accepted.
pub(crate) fn submitted(tasks: Vec<TaskStatus>) -> Vec<v1::SubmittedTask> {
    tasks.into_iter().map(task_status).collect()
}

/// Converts a task that was accepted or cancelled.
pub(crate) fn task_status(task: TaskStatus) -> v1::SubmittedTask {
    convert::submitted(task.id, task.state)
}

/// Converts a task of this master.
fn own_task(TaskView { task, pending_reason }: TaskView) -> v1::Task {
    convert::task(&task, pending_reason)
}

/// Converts a task, with its environment for those who may see it.
pub(crate) fn task(ShownTask { view, environment, dependents }: ShownTask) -> v1::Task {
    let mut task = match view {
        View::Own(own) => {
            let known = Arc::clone(&own.task);
            let mut task = own_task(own);
            convert::show_result(&mut task, &known);
            task
        }
        View::Leaders(task) => task,
    };
    if let Some(spec) = environment {
        convert::show_environment(&mut task, &spec);
    }
    let Dependents { count, first } = dependents;
    task.dependent_count = Some(count).filter(|_| usize::try_from(count) != Ok(first.len()));
    task.dependents = first.iter().map(ToString::to_string).collect();
    task
}

/// Converts a page of tasks.
pub(crate) fn task_page(view: View<TaskPage, v1::TaskPage>) -> v1::TaskPage {
    match view {
        View::Own(TaskPage { tasks, next }) => v1::TaskPage {
            tasks: tasks.into_iter().map(own_task).collect(),
            next_cursor: next.map(|next| next.to_string()),
        },
        View::Leaders(page) => page,
    }
}

/// Converts a worker of this master.
pub(crate) fn own_worker(view: WorkerView) -> v1::Worker {
    let WorkerView { worker, allocated, running, last_heartbeat, certificate_end } = view;
    v1::Worker {
        certificate_not_after: certificate_end.map(convert::rfc3339),
        ..convert::worker(&worker, &allocated, running, last_heartbeat)
    }
}

/// Converts a worker.
pub(crate) fn worker(view: View<WorkerView, v1::Worker>) -> v1::Worker {
    match view {
        View::Own(worker) => own_worker(worker),
        View::Leaders(worker) => worker,
    }
}

/// Converts a page of workers.
pub(crate) fn worker_page(page: WorkerPage) -> v1::WorkerPage {
    let mut workers = Vec::with_capacity(page.len());
    for piece in page.pieces {
        match piece {
            View::Own(own) => workers.extend(own.into_iter().map(own_worker)),
            View::Leaders(leaders) => workers.extend(leaders),
        }
    }
    v1::WorkerPage { workers, next_cursor: page.next.map(|next| next.to_string()) }
}

/// Converts a piece of a log.
pub(crate) fn log_chunk(piece: LogPiece) -> v1::LogChunk {
    match piece {
        LogPiece::Opening { attempt, worker } => v1::LogChunk {
            attempt: attempt.0,
            worker_id: worker.to_string(),
            ..v1::LogChunk::default()
        },
        LogPiece::Output { attempt, chunk } => v1::LogChunk {
            stream: OutputStream::number(chunk.stream),
            data: chunk.data,
            attempt: attempt.0,
            next_offset: chunk.next_offset,
            ..v1::LogChunk::default()
        },
        LogPiece::Notice { attempt, text } => v1::LogChunk {
            attempt: attempt.map_or(0, |attempt| attempt.0),
            notice: text,
            ..v1::LogChunk::default()
        },
    }
}

/// Converts the outcomes of contacting workers.
pub(crate) fn reconnections(
    view: View<BTreeMap<WorkerId, ReconnectOutcome>, v1::ReconnectResponse>,
) -> v1::ReconnectResponse {
    let outcomes = match view {
        View::Own(outcomes) => outcomes,
        View::Leaders(response) => return response,
    };
    let results = outcomes.into_iter().map(|(worker, outcome)| v1::ReconnectResult {
        worker_id: worker.to_string(),
        outcome: v1::ReconnectOutcome::from(outcome).into(),
    });
    v1::ReconnectResponse { results: results.collect() }
}

/// Converts an order about a worker's scheduling.
pub(crate) fn set_scheduling(request: &v1::SetSchedulingRequest) -> Result<SetScheduling, Problem> {
    let worker = ids::worker(&request.worker_id)?;
    Ok(SetScheduling { worker, order: convert::scheduling_order(request)? })
}

/// Converts changes of a worker's labels.
pub(crate) fn label_worker(request: v1::LabelWorkerRequest) -> Result<LabelWorker, Problem> {
    let worker = ids::worker(&request.worker_id)?;
    let (set, remove) = convert::label_changes(request)?;
    Ok(LabelWorker { worker, set, remove })
}

/// Converts the order to create a token. Its name is drawn if none is given.
pub(crate) fn new_token(request: v1::CreateTokenRequest) -> Result<NewToken, Problem> {
    let drawn = Uuid::new_v4().simple().to_string();
    let name = match request.token_id.as_str() {
        "" => drawn.chars().take(DRAWN_NAME_LEN).collect(),
        name => name.to_owned(),
    };
    let id = convert::id::<TokenId>("/token_id", &name)?;
    let ttl = convert::token_ttl(&request)?;
    Ok(NewToken { id, ttl, description: request.description })
}

/// Converts a new token: what its workers present is its name, a dot and its secret.
pub(crate) fn created_token(created: CreatedToken) -> v1::CreatedToken {
    let CreatedToken { id, secret, root, expires_at } = created;
    let root = root.map(|digest| format!(".{digest}")).unwrap_or_default();
    v1::CreatedToken {
        token: format!("{id}.{secret}{root}"),
        token_id: id.to_string(),
        expires_at: expires_at.map(convert::rfc3339),
    }
}

/// Converts all tokens.
pub(crate) fn tokens(Tokens { tokens, now }: Tokens) -> v1::TokenList {
    v1::TokenList { tokens: tokens.iter().map(|token| convert::token(token, now)).collect() }
}

/// Converts the mass-loss alarm; one that is over by now is empty.
pub(crate) fn mass_loss(alarm: Option<MassLoss>) -> v1::MassLoss {
    alarm.as_ref().map(convert::mass_loss).unwrap_or_default()
}

/// Converts the settings of the cluster.
pub(crate) fn config(record: &SettingsRecord) -> v1::ClusterConfig {
    let setting = |key: &SettingKey| {
        let origin = record.origins.get(key)?;
        let (source, master) = match origin.source {
            SettingSource::Default => (v1::SettingSource::Default, None),
            SettingSource::Master(master) => (v1::SettingSource::Master, Some(master)),
            SettingSource::Operator => (v1::SettingSource::Operator, None),
        };
        Some(v1::Setting {
            key: key.path().to_owned(),
            value: config::shown(*key, &record.settings),
            source: source.into(),
            master_id: master.map(|id| id.0),
            index: origin.index.0,
        })
    };
    v1::ClusterConfig {
        index: record.index.0,
        changed_at: convert::rfc3339(record.changed_at),
        changed_by: record.changed_by.clone(),
        settings: SettingKey::ALL.iter().filter_map(setting).collect(),
    }
}

/// Converts a change of settings.
pub(crate) fn settings_change(request: v1::SetConfigRequest) -> SettingsChange {
    SettingsChange { values: request.values, if_index: request.if_index.map(LogIndex) }
}

/// Converts the leader, as this master or the one before sees it.
pub(crate) fn leader_view(view: View<LeaderView, v1::LeaderStatus>) -> v1::LeaderStatus {
    match view {
        View::Own(own) => leader(own),
        View::Leaders(status) => status,
    }
}

/// Converts the leader.
pub(crate) fn leader(view: LeaderView) -> v1::LeaderStatus {
    let LeaderView { leader, address, term, http_address } = view;
    v1::LeaderStatus { leader_id: leader.map(|id| id.0), address, term: term.0, http_address }
}

/// Converts the cluster.
pub(crate) fn cluster(view: ClusterView) -> v1::ClusterStatus {
    let workers = view.workers.into_iter().map(|(state, count)| (state.to_string(), count));
    let tasks = view.tasks.into_iter().map(|(state, count)| (state.to_string(), count));
    v1::ClusterStatus {
        cluster_name: view.name,
        cluster_id: view.cluster.map(|id| id.to_string()),
        node_id: view.node.0,
        leader_id: view.leader.map(|id| id.0),
        term: view.term.0,
        healthy: view.problems.is_empty(),
        problems: view.problems,
        members: view.members.into_iter().map(member).collect(),
        workers: workers.collect(),
        tasks: tasks.collect(),
        mass_loss: view.mass_loss.as_ref().map(convert::mass_loss),
        level: view.level.0.into(),
        autopilot: view.autopilot,
        orphans: u64::try_from(view.orphans).unwrap_or(u64::MAX),
    }
}

/// Converts a master. Nothing is claimed of one that cannot be reached.
fn member(view: MemberView) -> v1::Member {
    let MemberView { member, status, lag, clock_offset_ms } = view;
    let known = v1::Member {
        id: member.name.0,
        address: member.address,
        voter: member.is_voter,
        clock_offset_ms,
        ..v1::Member::default()
    };
    let Some(status) = status else {
        return v1::Member { role: v1::MasterRole::Unknown.into(), ..known };
    };

    let PeerStatus {
        node_id: _,
        role,
        term,
        leader_id: _,
        last_log_index,
        commit_index,
        applied_index,
        snapshot_index,
        version,
        http_address,
        free_bytes,
        wall_clock_ms: _,
        level_max,
        state_digest: _,
        differing_settings,
        autopilot: _,
        disk_free_min: _,
    } = status;
    v1::Member {
        role,
        term: Some(term),
        last_log_index: Some(last_log_index),
        commit_index: Some(commit_index),
        applied_index: Some(applied_index),
        lag,
        snapshot_index,
        reachable: true,
        version: Some(version),
        http_address: Some(http_address),
        free_bytes,
        level_max: Some(level_max),
        differing_settings,
        ..known
    }
}

#[cfg(test)]
mod tests {
    use cluster_state::MasterId;
    use raft_store::{Member, NodeId};

    use super::*;

    #[test]
    fn nothing_is_claimed_of_a_master_that_cannot_be_reached() {
        let address = "127.0.0.1:7002".to_owned();
        let lost = MemberView {
            member: Member {
                node: NodeId(2),
                name: MasterId(2),
                address,
                zone: None,
                is_voter: true,
            },
            status: None,
            lag: None,
            clock_offset_ms: None,
        };
        let expected = serde_json::json!({
            "id": 2, "address": "127.0.0.1:7002", "role": "unknown", "reachable": false,
            "voter": true, "term": null, "last_log_index": null, "commit_index": null,
            "applied_index": null, "lag": null, "snapshot_index": null, "version": null,
            "http_address": null, "free_bytes": null, "clock_offset_ms": null, "level_max": null,
            "differing_settings": [],
        });
        assert_eq!(serde_json::to_value(member(lost)).unwrap(), expected);
    }
}
