//! Tests of events.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster_state::{
    AttemptNumber, AttemptOutcome, AttemptRef, BeginTerm, Command, DeleteSchedule, EndMassLoss,
    Epoch, JobAction, KnownSchedule, Level, Orphan, OrphanEnd, Overlap, PauseSchedule, Proposal,
    PutSchedule, RaiseLevel, RaiseMassLoss, RegisterWorker, RunSchedule, ScheduleName,
    SchedulePlan, SeedSettings, SetScheduling, SetSettings, Settings, StartJob, TaskFilter,
    TaskState, UnregisterWorker,
};
use serde_json::json;

use super::*;
use crate::events::task_news::tests::task;

/// The events of one command, as JSON.
struct Log {
    state: State,
    index: LogIndex,
    translator: Translator,
}

impl Log {
    fn new() -> Self {
        let translator = Translator::new(Timestamp(0));
        Self { state: State::new(), index: LogIndex(0), translator }
    }

    fn apply(&mut self, seconds: u64, command: Command) -> serde_json::Value {
        self.index = self.index.next();
        let proposal = Proposal { proposed_at: Timestamp(seconds * 1_000), command };
        let applied = self.state.apply(self.index, proposal);
        let changes = applied.changes.into_iter().map(|change| (self.index, change));
        let events = self.translator.news(&changes.collect::<Vec<_>>(), &[]).events;
        assert!(events.iter().all(|(index, _)| *index == self.index));
        json!(events.into_iter().map(|(_, event)| event).collect::<Vec<_>>())
    }
}

fn register(address: &str) -> Command {
    Command::RegisterWorker(RegisterWorker {
        worker: "w1".parse().unwrap(),
        address: Some(address.to_owned()),
        labels: None,
    })
}

#[test]
fn a_worker_is_told_of_whenever_its_history_grows() {
    let mut log = Log::new();
    let told = |reason: &str, seconds: u64| {
        let state = if reason == "unregistered" { "departed" } else { "inactive" };
        json!([{"type": "worker_status", "worker_id": "w1", "is_active": false, "state": state,
                "reason": reason, "timestamp": format!("1970-01-01T00:00:0{seconds}.000Z")}])
    };
    assert_eq!(log.apply(1, register("a:1")), told("preregistered", 1));
    assert_eq!(log.apply(2, register("a:1")), json!([]));
    assert_eq!(log.apply(3, register("a:2")), told("updated", 3));
    let worker: WorkerId = "w1".parse().unwrap();
    let order = cluster_state::SchedulingOrder::Cordon;
    let cordon = Command::SetScheduling(SetScheduling { worker: worker.clone(), order });
    assert_eq!(log.apply(4, cordon), told("cordoned", 4));
    assert_eq!(
        log.apply(5, Command::UnregisterWorker(UnregisterWorker { worker })),
        told("unregistered", 5)
    );
}

#[test]
fn leaders_and_alarms_are_events_of_the_cluster() {
    let mut log = Log::new();
    let term = Term(7);
    let cluster = cluster_state::ClusterId(1);
    let live_bytes_max = cluster_state::Limits::LIVE_BYTES_DEFAULT;
    let began =
        Command::BeginTerm(BeginTerm { term, leader: MasterId(2), cluster, live_bytes_max });
    let leader = json!([{"type": "leader", "leader_id": 2, "term": 7,
                         "timestamp": "1970-01-01T00:00:01.000Z"}]);
    assert_eq!(log.apply(1, began), leader);

    let raise = |lost| Command::RaiseMassLoss(RaiseMassLoss { term, lost, of: 8 });
    let alarm = |state: &str, lost: u32, seconds: u64| {
        json!([{"type": "mass_loss", "state": state, "lost": lost, "of": 8,
                "timestamp": format!("1970-01-01T00:00:0{seconds}.000Z")}])
    };
    assert_eq!(log.apply(2, raise(5)), alarm("raised", 5, 2));
    assert_eq!(log.apply(3, raise(6)), alarm("raised", 6, 3));
    assert_eq!(log.apply(4, Command::AcknowledgeMassLoss), alarm("acknowledged", 6, 4));
    let over = json!([{"type": "mass_loss", "state": "over",
                       "timestamp": "1970-01-01T00:00:05.000Z"}]);
    assert_eq!(log.apply(5, Command::EndMassLoss(EndMassLoss { term })), over);
}

#[test]
fn changes_of_settings_are_events_of_the_cluster() {
    let mut log = Log::new();
    let term = Term(0);
    log.apply(1, Command::RaiseLevel(RaiseLevel { term, level: Level(2) }));
    let mut settings = Settings::default();
    let (master, given) = (MasterId(1), BTreeSet::new());
    let seed = SeedSettings { term, settings: settings.clone(), master, given };
    let recorded = log.apply(2, Command::SeedSettings(seed));
    assert_eq!(recorded[0]["source"], "master");
    assert_eq!(recorded[0]["changed"]["worker.lease"], "5m");

    settings.worker.lease = Duration::from_secs(60);
    let set = SetSettings { settings, base: log.index, by: "user:ada".to_owned() };
    let expected = json!([{"type": "settings", "source": "operator",
                           "changed": {"worker.lease": "1m"}, "by": "user:ada",
                           "timestamp": "1970-01-01T00:00:03.000Z"}]);
    assert_eq!(log.apply(3, Command::SetSettings(set)), expected);
}

#[test]
fn a_schedule_is_told_of_with_its_latest_run_until_it_is_deleted() {
    let mut log = Log::new();
    log.apply(1, Command::RaiseLevel(RaiseLevel { term: Term(0), level: Level(2) }));
    let name = "nightly".parse::<ScheduleName>().unwrap();
    let plan = SchedulePlan {
        cron: "@daily".to_owned(),
        zone: "UTC".to_owned(),
        overlap: Overlap::Allow,
        catch_up: Duration::from_secs(60),
        task: task(1, TaskState::Queued).spec,
    };
    let (next, zone_data) = (Some(Timestamp(90_000)), "2026a".to_owned());
    let (is_paused, known) = (false, KnownSchedule::None);
    let put = PutSchedule { name: name.clone(), plan, is_paused, next, zone_data, known };
    let time = |seconds: u64| format!("1970-01-01T00:00:0{seconds}.000Z");
    let mut expected = json!({
        "type": "schedule_status", "schedule": "nightly", "state": "active",
        "next_at": "1970-01-01T00:01:30.000Z", "started": 0, "skipped": 0, "missed": 0,
        "timestamp": time(2),
    });
    assert_eq!(log.apply(2, Command::PutSchedule(put)), json!([expected]));

    let run = RunSchedule { name: name.clone(), idempotency_key: None };
    expected["started"] = json!(1);
    expected["timestamp"] = json!(time(3));
    expected["run"] = json!({
        "at": time(3), "decided_at": time(3), "manual": true, "outcome": "started", "task_id": "t1",
        "missed": null, "missed_until": null, "reason": null,
    });
    assert_eq!(log.apply(3, Command::RunSchedule(run)), json!([expected]));

    let pause = PauseSchedule { name: name.clone(), is_paused: true };
    expected["state"] = json!("paused");
    expected["timestamp"] = json!(time(4));
    assert_eq!(log.apply(4, Command::PauseSchedule(pause)), json!([expected]));

    let deleted = log.apply(5, Command::DeleteSchedule(DeleteSchedule { name }));
    let expected = json!([{"type": "schedule_status", "schedule": "nightly", "state": "deleted",
                           "next_at": null, "timestamp": time(5)}]);
    assert_eq!(deleted, expected);
}

#[test]
fn an_order_about_many_tasks_is_told_of() {
    let mut log = Log::new();
    log.apply(1, Command::RaiseLevel(RaiseLevel { term: Term(0), level: Level(2) }));
    let (action, filter) = (JobAction::Cancel, TaskFilter::default());
    let start = StartJob { action, filter, by: "user:ada".to_owned() };
    let expected = json!([{
        "type": "job_status", "job_id": "j2", "action": "cancel", "state": "completed", "done": 0,
        "refused": 0, "percent": 100, "timestamp": "1970-01-01T00:00:02.000Z",
    }]);
    assert_eq!(log.apply(2, Command::StartJob(start)), expected);
}

#[test]
fn a_time_that_is_not_new_still_counts() {
    let mut log = Log::new();
    log.apply(5, register("a:1"));
    let worker = "w1".parse().unwrap();
    let removed = log.apply(5, Command::UnregisterWorker(UnregisterWorker { worker }));
    assert_eq!(removed[0]["timestamp"], "1970-01-01T00:00:05.000Z");
}

#[test]
fn changes_of_members_are_events_at_the_time_of_the_command_before() {
    let news = |what, by| {
        let (name, node) = (MasterId(4), NodeId(1 << 40));
        MemberNews { name, node, what, by }
    };
    let told = |what, by| {
        let mut translator = Translator::new(Timestamp(7_000));
        json!(translator.news(&[], &[(LogIndex(9), news(what, by))]).events)
    };
    let timestamp = "1970-01-01T00:00:07.000Z";
    let id = "0000010000000000";
    assert_eq!(
        told(MemberEvent::Promoted, Some(VoteGiver::Autopilot)),
        json!([[9, {"type": "member", "name": "4", "id": id, "event": "promoted",
                    "by": "autopilot", "timestamp": timestamp}]])
    );
    assert_eq!(
        told(MemberEvent::Replaced { by: MasterId(5) }, None),
        json!([[9, {"type": "member", "name": "4", "id": id, "event": "replaced",
                    "replaced_by": "5", "timestamp": timestamp}]])
    );
}

#[test]
fn a_result_that_the_backup_never_knew_is_told_of() {
    let orphan = Orphan {
        id: OrphanId(3),
        worker: "w1".parse().unwrap(),
        epoch: Epoch(7),
        attempt: AttemptRef { task: TaskId(17), attempt: AttemptNumber(2) },
        end: OrphanEnd::Ended(AttemptOutcome::Exited { code: 3 }),
        reported_at: Timestamp(5_000),
        generation: 1,
        index: LogIndex(9),
    };
    let put = (LogIndex(9), Change::Put(Record::Orphan(orphan.into())));
    let dropped = (LogIndex(10), Change::Delete(Key::Orphan(OrphanId(3))));
    let events = Translator::new(Timestamp(0)).news(&[put, dropped], &[]).events;
    assert_eq!(
        json!(events.into_iter().map(|(_, event)| event).collect::<Vec<_>>()),
        json!([{"type": "orphaned_result", "orphan_id": "o3", "worker_id": "w1", "task_id": "t17",
                "attempt": 2, "outcome": "exit code 3", "timestamp": "1970-01-01T00:00:05.000Z"}])
    );
}
