//! Tests with real processes, started and stopped.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_state::OnDisconnect;
use proto::output::OutputStream;
use tokio::time::Instant;

use super::supervise::OUTPUT_GRACE;
use super::*;
use crate::ledger::{Begin, attempt_ref};
use crate::logs::Follow;
use crate::processes::stat;

mod cgroups;
mod devices;
mod results;

const A: AttemptRef = attempt_ref(1, 2);

struct Bench {
    executor: ProcessExecutor,
    ended: mpsc::UnboundedReceiver<FinishedAttempt>,
    starts: mpsc::UnboundedReceiver<Verdict>,
    logs: Logs,
    dir: tempfile::TempDir,
}

fn bench() -> Bench {
    bench_with(Devices::open(BTreeMap::new()))
}

fn bench_with(devices: Devices) -> Bench {
    bench_of(devices, None)
}

fn bench_of(devices: Devices, cgroups: Option<Arc<Cgroups>>) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::new(dir.path(), 1 << 20, 16);
    let records = ProcessRecords::open(&dir.path().join("running")).unwrap();
    let (ended_tx, ended) = mpsc::unbounded_channel();
    let (starts_tx, starts) = mpsc::unbounded_channel();
    let environment = Environment {
        worker_id: "w1".parse().unwrap(),
        home: HomeId::of(dir.path()).unwrap(),
        incarnation: Incarnation(7),
        passed: Passed::default(),
        open_files: Some(77),
        devices,
        cgroups,
    };
    let children = Arc::new(Children::aside());
    let executor =
        ProcessExecutor::new(environment, logs.clone(), records, children, ended_tx, starts_tx);
    Bench { executor, ended, starts, logs, dir }
}

fn launch(command: &[&str]) -> Launch {
    Launch {
        attempt: A,
        command: command.iter().map(|&word| word.to_owned()).collect(),
        env: BTreeMap::new(),
        working_dir: None,
        stdin: None,
        on_disconnect: OnDisconnect::Keep,
        room: None,
        begin: Begin::AtOnce,
    }
}

fn shell(script: &str) -> Launch {
    launch(&["/bin/sh", "-c", script])
}

impl Bench {
    async fn outcome(&mut self) -> AttemptOutcome {
        let ended = self.ended.recv().await.unwrap();
        assert_eq!(ended.attempt, A);
        self.executor.running().idle().await;
        ended.outcome
    }

    async fn run(&mut self, launch: Launch) -> AttemptOutcome {
        self.executor.start(launch);
        self.outcome().await
    }

    async fn output(&self, stream: OutputStream) -> String {
        let mut reader = self.logs.open(A, &[stream], Follow::Yes, None).unwrap();
        let mut text = Vec::new();
        while let Some((_, bytes, _)) = reader.next_chunk().await.unwrap() {
            text.extend(bytes);
        }
        String::from_utf8(text).unwrap()
    }

    /// Waits until the process has printed something, so that its traps are set.
    async fn printed(&self) {
        let mut reader = self.logs.open(A, &OutputStream::ALL, Follow::Yes, None).unwrap();
        assert!(reader.next_chunk().await.unwrap().is_some());
    }
}

#[tokio::test]
async fn the_exit_code_and_the_output_are_kept() {
    let mut bench = bench();

    let outcome = bench.run(shell("echo out; echo err >&2; exit 3")).await;

    assert_eq!(outcome, AttemptOutcome::Exited { code: 3 });
    assert_eq!(bench.output(OutputStream::Stdout).await, "out\n");
    assert_eq!(bench.output(OutputStream::Stderr).await, "err\n");
}

#[tokio::test]
async fn a_process_knows_which_attempt_it_is() {
    let mut bench = bench();
    let script = "echo $CLOUDAI_TASK_ID $CLOUDAI_ATTEMPT $CLOUDAI_WORKER_ID $GREETING; pwd";
    let env = [("GREETING", "hello"), ("CLOUDAI_TASK_ID", "t99")];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();

    bench.run(Launch { env, ..shell(script) }).await;

    let own_dir = bench.logs.working_dir(A).canonicalize().unwrap();
    let expected = format!("t1 2 w1 hello\n{}\n", own_dir.display());
    assert_eq!(bench.output(OutputStream::Stdout).await, expected);
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let mut bench = bench();
    let no_program = bench.run(launch(&["/no/such/program"])).await;
    let no_command = bench.run(launch(&[])).await;
    let working_dir = Some(bench.dir.path().join("missing"));
    let no_dir = bench.run(Launch { working_dir, ..launch(&["/bin/true"]) }).await;

    for (outcome, words) in [
        (no_program, "/no/such/program: No such file"),
        (no_command, "there is no command"),
        (no_dir, "missing does not exist"),
    ] {
        let AttemptOutcome::StartFailed { detail } = outcome else { panic!("{outcome}") };
        assert!(detail.contains(words), "{detail}");
    }
}

#[tokio::test]
async fn term_ends_a_process_that_obeys() {
    let mut bench = bench();
    bench.executor.start(shell("echo up; exec sleep 600"));
    bench.printed().await;

    bench.executor.running().stop(A, Stop::Terminate(Duration::from_secs(600)));

    assert_eq!(bench.outcome().await, AttemptOutcome::Signaled { signal: 15 });
}

#[tokio::test]
async fn what_is_stopped_before_its_turn_never_starts() {
    let mut bench = bench();
    bench.executor.start(shell("touch started"));

    bench.executor.running().stop(A, Stop::Kill);

    assert_eq!(bench.outcome().await, AttemptOutcome::Signaled { signal: 9 });
    assert!(!bench.logs.working_dir(A).join("started").exists());
}

#[tokio::test]
async fn kill_follows_term_after_the_grace() {
    let mut bench = bench();
    bench.executor.start(shell("trap 'echo asked' TERM; echo up; while :; do sleep 0.05; done"));
    bench.printed().await;

    let asked_at = Instant::now();
    bench.executor.running().stop(A, Stop::Terminate(Duration::from_millis(300)));

    assert_eq!(bench.outcome().await, AttemptOutcome::Signaled { signal: 9 });
    assert!(asked_at.elapsed() >= Duration::from_millis(300));
    assert_eq!(bench.output(OutputStream::Stdout).await, "up\nasked\n");
}

/// Parses the process id that was printed.
fn printed_process(output: &str) -> nix::unistd::Pid {
    nix::unistd::Pid::from_raw(output.trim().parse().unwrap())
}

#[tokio::test]
async fn what_a_process_leaves_in_its_group_is_killed() {
    let mut bench = bench();

    let started_at = Instant::now();
    let outcome = bench.run(shell("sleep 600 & echo $!")).await;

    assert_eq!(outcome, AttemptOutcome::Exited { code: 0 });
    assert!(started_at.elapsed() < OUTPUT_GRACE, "the pipe was closed by the kill");
    assert_eq!(stat(printed_process(&bench.output(OutputStream::Stdout).await)), None);
}

#[tokio::test]
async fn what_a_process_leaves_in_another_session_is_killed() {
    let mut bench = bench();

    let outcome = bench.run(shell("setsid sleep 600 & echo $!; exit 5")).await;

    assert_eq!(outcome, AttemptOutcome::Exited { code: 5 });
    assert_eq!(stat(printed_process(&bench.output(OutputStream::Stdout).await)), None);
}

#[tokio::test]
async fn a_child_of_a_shell_has_the_grace_that_the_shell_does_not_take() {
    let mut bench = bench();
    // The shell dies of the signal at once; its child takes it as a request.
    let child = "trap 'sleep 0.3; echo saved; exit 0' TERM; echo up; while :; do sleep 0.05; done";
    bench.executor.start(shell(&format!("sh -c \"{child}\"; echo unreachable")));
    bench.printed().await;

    bench.executor.running().stop(A, Stop::Terminate(Duration::from_secs(600)));

    assert_eq!(bench.outcome().await, AttemptOutcome::Signaled { signal: 15 });
    assert_eq!(bench.output(OutputStream::Stdout).await, "up\nsaved\n");
}

#[tokio::test]
async fn a_child_in_another_session_is_asked_to_end_too() {
    let mut bench = bench();
    let child = "trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.05; done";
    bench.executor.start(shell(&format!("setsid sh -c \"{child}\" & wait")));
    bench.printed().await;

    bench.executor.running().stop(A, Stop::Terminate(Duration::from_secs(600)));

    assert_eq!(bench.outcome().await, AttemptOutcome::Signaled { signal: 15 });
    assert_eq!(bench.output(OutputStream::Stdout).await, "up\nasked\n");
}

#[tokio::test]
async fn a_child_that_does_not_obey_is_killed_after_the_grace() {
    let mut bench = bench();
    let child = "trap : TERM; echo $$; while :; do sleep 0.05; done";
    bench.executor.start(shell(&format!("setsid sh -c '{child}' & wait")));
    bench.printed().await;

    let asked_at = Instant::now();
    bench.executor.running().stop(A, Stop::Terminate(Duration::from_millis(300)));

    assert_eq!(bench.outcome().await, AttemptOutcome::Signaled { signal: 15 });
    assert!(asked_at.elapsed() >= Duration::from_millis(300));
    assert_eq!(stat(printed_process(&bench.output(OutputStream::Stdout).await)), None);
}

#[tokio::test]
async fn a_grace_without_end_is_no_panic() {
    let mut bench = bench();
    bench.executor.start(shell("echo up; exec sleep 600"));
    bench.printed().await;
    bench.executor.running().stop(A, Stop::Terminate(Duration::MAX));
    assert_eq!(bench.outcome().await, AttemptOutcome::Signaled { signal: 15 });
}

/// Commands by which a task damages its own directory; its log shows nothing of that.
const VANDALISM: [&str; 8] = [
    "rm -rf ./*",
    "rm -rf \"$PWD\"",
    ": > stdout",
    "echo mine > stdout",
    "echo x > stdout; mv stdout x",
    "mkdir stdout stderr",
    "ln -s ../../../victim stdout",
    "mkfifo stdout stderr",
];

#[tokio::test]
async fn nothing_that_a_task_does_to_its_directory_touches_its_log() {
    for vandalism in VANDALISM {
        let mut bench = bench();
        std::fs::write(bench.dir.path().join("victim"), "whole").unwrap();

        let script = format!("echo before; echo err >&2; {vandalism}; echo after; echo end >&2");
        let outcome = bench.run(shell(&script)).await;

        assert_eq!(outcome, AttemptOutcome::Exited { code: 0 }, "{vandalism}");
        assert_eq!(bench.output(OutputStream::Stdout).await, "before\nafter\n", "{vandalism}");
        assert_eq!(bench.output(OutputStream::Stderr).await, "err\nend\n", "{vandalism}");
        let victim = std::fs::read_to_string(bench.dir.path().join("victim")).unwrap();
        assert_eq!(victim, "whole", "{vandalism}");
    }
}

#[tokio::test]
async fn pipes_in_the_place_of_logs_hold_up_nobody() {
    const COUNT: u64 = 300;
    let mut bench = bench();
    for task in 1..=COUNT {
        let script = "mkfifo stdout stderr; echo o; echo e >&2";
        bench.executor.start(Launch { attempt: attempt_ref(task, 1), ..shell(script) });
    }

    for _ in 0..COUNT {
        let ended = bench.ended.recv().await.unwrap();
        assert_eq!(ended.outcome, AttemptOutcome::Exited { code: 0 });
    }
    let outcome = bench.run(shell("echo still")).await;
    assert_eq!(outcome, AttemptOutcome::Exited { code: 0 });
    assert_eq!(bench.output(OutputStream::Stdout).await, "still\n");
}

#[tokio::test]
async fn a_task_has_the_limit_of_open_files_that_the_worker_was_given() {
    let mut bench = bench();
    // What a program reads as it starts may be older.
    bench.run(shell("while [ $(ulimit -Sn) != 77 ]; do :; done; ulimit -Hn")).await;

    let (_, hard) =
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    assert_eq!(bench.output(OutputStream::Stdout).await, format!("{hard}\n"));
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_the_machines_fault() {
    for taken in ["tasks", "logs"] {
        let mut bench = bench();
        std::fs::write(bench.dir.path().join(taken), "").unwrap();

        let outcome = bench.run(shell("true")).await;

        assert!(matches!(outcome, AttemptOutcome::WorkerUnfit { .. }), "{outcome}");
        let verdict = bench.starts.recv().await.unwrap();
        let Verdict::Bad(reason) = verdict else { panic!("{verdict:?}") };
        assert!(reason.contains("Not a directory") || reason.contains("File exists"), "{reason}");
    }
}

#[tokio::test]
async fn a_string_that_is_too_long_is_named() {
    let mut bench = bench();
    let env = [("K".to_owned(), "x".repeat(131_070))].into();
    let variable = bench.run(Launch { env, ..shell("true") }).await;
    let program = bench.run(launch(&[&"x".repeat(131_072)])).await;

    for (outcome, words) in [
        (variable, "variable K of 131073 bytes: Argument list too long"),
        (program, "x… (131072 bytes): "),
    ] {
        let AttemptOutcome::StartFailed { detail } = outcome else { panic!("{outcome}") };
        assert!(detail.contains(words) && detail.contains("too long"), "{detail}");
        assert!(detail.len() < 400, "{detail}");
    }
    assert_eq!(bench.starts.recv().await, Some(Verdict::Doubtful));
}

#[tokio::test]
async fn a_running_process_is_on_record_until_it_ends() {
    let mut bench = bench();
    bench.executor.start(shell("echo up; exec sleep 600"));
    bench.printed().await;
    let record = bench.dir.path().join("running").join("t1.2");
    assert!(record.exists());

    bench.executor.running().stop(A, Stop::Kill);

    assert_eq!(bench.outcome().await, AttemptOutcome::Signaled { signal: 9 });
    assert!(!record.exists());
}
