//! Tests of the exact text of every view.

use super::*;

fn resources(cpu: f64, memory_mb: u64) -> v1::Resources {
    v1::Resources {
        cpu: Some(cpu),
        memory_mb: Some(memory_mb),
        storage_mb: Some(0),
        gpu: Some(0),
        custom: BTreeMap::new(),
    }
}

fn example_worker() -> v1::Worker {
    v1::Worker {
        worker_id: "worker-1".to_owned(),
        address: Some("10.0.0.5:50052".to_owned()),
        is_active: true,
        state: v1::WorkerState::Active.into(),
        reason: "registered".to_owned(),
        epoch: 3,
        total: Some(resources(8.0, 16_384)),
        allocated: Some(resources(0.5, 512)),
        available: Some(resources(7.5, 15_872)),
        labels: [("zone".to_owned(), "a".to_owned())].into(),
        running_tasks: 1,
        registered_at: "2025-11-17T10:30:00.000Z".to_owned(),
        last_heartbeat: None,
        index: 40,
        version: Some("0.1.0".to_owned()),
        scheduling: v1::SchedulingState::Open.into(),
        drain_deadline: None,
        changed_at: "2025-11-17T10:30:00.000Z".to_owned(),
        since: "2025-11-17T10:30:00.000Z".to_owned(),
        attempts_max: Some(100),
        certificate_not_after: Some("2026-11-17T10:30:00.000Z".to_owned()),
    }
}

fn example_task() -> v1::Task {
    v1::Task {
        task_id: "t17".to_owned(),
        name: Some("train-7".to_owned()),
        state: v1::TaskState::Failed.into(),
        reason: Some("failed as often as max_attempts allows".to_owned()),
        priority: 50,
        command: vec!["sh".to_owned(), "-c".to_owned(), "exit 3".to_owned()],
        resources: Some(resources(1.0, 512)),
        submitted_at: "2025-11-17T10:30:00.000Z".to_owned(),
        exit_code: Some(3),
        attempts: vec![v1::Attempt {
            number: 1,
            worker_id: "worker-1".to_owned(),
            exit_code: Some(3),
            outcome: Some(v1::AttemptOutcome::Failed.into()),
            ..v1::Attempt::default()
        }],
        ..v1::Task::default()
    }
}

#[test]
fn the_environment_of_a_task_is_shown_where_there_is_one_to_see() {
    assert!(!task(&example_task(), Style::Plain).contains("environment"));
    let env = [("A".to_owned(), "1".to_owned())].into();
    let secret_env = vec!["KEY".to_owned(), "TOKEN".to_owned()];
    let shown = task(&v1::Task { env, secret_env, ..example_task() }, Style::Plain);
    assert!(shown.contains("environment:  A=1\nsecrets:      KEY,TOKEN\nsubmitted at:"), "{shown}");
}

#[test]
fn only_times_that_a_task_has_are_shown() {
    let plain = task(&example_task(), Style::Plain);
    assert!(!plain.contains("deadline") && !plain.contains("retries"), "{plain}");
    let timed = v1::Task {
        deadline: Some("2030-01-31T12:00:00.000Z".to_owned()),
        retry_factor: Some(1.5),
        no_retry_exit_codes: vec!["2".to_owned(), "64-78".to_owned()],
        retries: Some(3),
        after: vec!["t1".to_owned(), "t2".to_owned()],
        dependents: vec!["t9".to_owned()],
        dependent_count: Some(2),
        ..example_task()
    };
    let shown = task(&timed, Style::Plain);
    let lines = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let lines = lines.collect::<Vec<_>>();
    for expected in [
        "deadline: 2030-01-31T12:00:00.000Z",
        "retry factor: 1.5",
        "retries: 3",
        "after: t1,t2",
        "dependents: t9 … 2 in all",
        "no retry after: 2,64-78",
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected}: {shown}");
    }
}

#[test]
fn the_leader_is_one_row() {
    let status = v1::LeaderStatus {
        leader_id: Some(2),
        address: Some("127.0.0.1:7002".to_owned()),
        term: 7,
        http_address: None,
    };
    let expected = "\
LEADER  ADDRESS         HTTP  TERM
2       127.0.0.1:7002  -     7";
    assert_eq!(leader(&status, Style::Plain), expected);
}

#[test]
fn the_status_shows_masters_that_cannot_be_reached() {
    let member = v1::Member {
        id: 1,
        address: "127.0.0.1:7001".to_owned(),
        role: v1::MasterRole::Leader.into(),
        term: Some(7),
        commit_index: Some(120),
        applied_index: Some(119),
        lag: Some(0),
        reachable: true,
        version: Some("0.1.0".to_owned()),
        http_address: Some("127.0.0.1:7101".to_owned()),
        free_bytes: Some(3 << 30),
        level_max: Some(2),
        ..v1::Member::default()
    };
    let lost = v1::Member {
        id: 2,
        address: "127.0.0.1:7002".to_owned(),
        role: v1::MasterRole::Unknown.into(),
        ..v1::Member::default()
    };
    let cluster = v1::ClusterStatus {
        cluster_name: "dev".to_owned(),
        healthy: false,
        problems: vec!["master 2 cannot be reached".to_owned()],
        members: vec![member, lost],
        workers: [("active".to_owned(), 2), ("inactive".to_owned(), 0)].into(),
        tasks: BTreeMap::new(),
        level: 1,
        ..v1::ClusterStatus::default()
    };
    let expected = "\
cluster: dev
health:  not healthy: master 2 cannot be reached
level:   1
workers: 2 active
tasks:   none

MASTER  ROLE     ADDRESS         HTTP            TERM  COMMIT  APPLIED  LAG  FREE     VERSION  LEVEL MAX
1       leader   127.0.0.1:7001  127.0.0.1:7101  7     120     119      0    3.0 GiB  0.1.0    2
2       unknown  127.0.0.1:7002  -               -     -       -        -    -        -        -";
    assert_eq!(status(&cluster, Style::Plain), expected);
}

#[test]
fn the_status_names_the_files_that_differ_from_the_settings() {
    let member = |id, differing: &[&str]| v1::Member {
        id,
        differing_settings: differing.iter().map(|path| (*path).to_owned()).collect(),
        ..v1::Member::default()
    };
    let members = vec![
        member(1, &[]),
        member(2, &["worker.lease", "retention.age"]),
        member(3, &["worker.lease"]),
    ];
    let shown = status(&v1::ClusterStatus { members, ..Default::default() }, Style::Plain);
    let line = shown.lines().find(|line| line.starts_with("config")).unwrap();
    assert_eq!(
        line,
        "config:  master 2 has its own worker.lease, retention.age; master 3 has its own \
         worker.lease; those of the cluster count"
    );
}

#[test]
fn workers_are_rows() {
    let expected = "\
WORKER    STATE   SCHEDULING  REASON      ADDRESS         TASKS  FREE CPU  FREE MIB  LAST HEARTBEAT
worker-1  active  open        registered  10.0.0.5:50052  1      7.5       15872     -";
    assert_eq!(workers(&[example_worker()], Style::Plain), expected);
}

#[test]
fn a_worker_is_shown_in_full() {
    let expected = "\
worker:         worker-1
state:          active (registered)
since:          2025-11-17T10:30:00.000Z
scheduling:     open
address:        10.0.0.5:50052
version:        0.1.0
epoch:          3
labels:         zone=a
running tasks:  1 of at most 100
total:          8 cpu, 16384 MiB memory, 0 MiB storage, 0 gpu
allocated:      0.5 cpu, 512 MiB memory, 0 MiB storage, 0 gpu
available:      7.5 cpu, 15872 MiB memory, 0 MiB storage, 0 gpu
registered at:  2025-11-17T10:30:00.000Z
last heartbeat: -
certificate:    valid until 2026-11-17T10:30:00.000Z";
    assert_eq!(worker(&example_worker(), Style::Plain), expected);
}

#[test]
fn a_draining_worker_shows_until_when() {
    let draining = v1::Worker {
        scheduling: v1::SchedulingState::Draining.into(),
        drain_deadline: Some("2025-11-17T10:40:00.000Z".to_owned()),
        ..example_worker()
    };
    let text = worker(&draining, Style::Plain);
    let expected = "scheduling:     draining, until 2025-11-17T10:40:00.000Z";
    assert!(text.lines().any(|line| line == expected), "{text}");
}

#[test]
fn a_mass_loss_is_told_before_everything_else() {
    let cluster = v1::ClusterStatus {
        mass_loss: Some(v1::MassLoss { lost: 6, of: 8, ..v1::MassLoss::default() }),
        ..v1::ClusterStatus::default()
    };
    let text = status(&cluster, Style::Plain);
    assert!(text.starts_with("!! MASS LOSS: 6 of 8 workers fell silent at once"), "{text}");
}

#[test]
fn a_task_is_shown_with_its_attempts() {
    let expected = "\
task:         t17
name:         train-7
state:        failed
reason:       failed as often as max_attempts allows
command:      sh -c exit 3
priority:     50
resources:    1 cpu, 512 MiB memory, 0 MiB storage, 0 gpu
labels:       -
submitted at: 2025-11-17T10:30:00.000Z
started at:   -
finished at:  -
exit code:    3

ATTEMPT  WORKER    STARTED  FINISHED  EXIT  OUTCOME  REASON
1        worker-1  -        -         3     failed   -";
    assert_eq!(task(&example_task(), Style::Plain), expected);
}
