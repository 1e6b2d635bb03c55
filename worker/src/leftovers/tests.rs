//! Tests with real processes that were left behind.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command};

use cluster_state::Incarnation;

use super::*;
use crate::ledger::attempt_ref;
use crate::processes::{HomeId, MARK, Mark};

const PRESENT: Incarnation = Incarnation(0xabc);
const EARLIER: Incarnation = Incarnation(0xdef);

struct Bench {
    dir: tempfile::TempDir,
    records: ProcessRecords,
}

fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let records = ProcessRecords::open(&dir.path().join("running")).unwrap();
    Bench { dir, records }
}

impl Bench {
    fn home(&self) -> HomeId {
        HomeId::of(self.dir.path()).unwrap()
    }

    /// Starts a process that sleeps, marked for the first attempt of an incarnation.
    fn sleeper(&self, incarnation: Incarnation) -> Child {
        let mark = Mark { home: self.home(), incarnation, attempt: attempt_ref(1, 1) };
        Command::new("sleep")
            .arg("600")
            .env(MARK, mark.to_string())
            .process_group(0)
            .spawn()
            .unwrap()
    }

    fn end(&self, grace: Duration) {
        let whose = Whose::Earlier(self.home(), PRESENT);
        self.records.leftovers(whose).unwrap().end(grace).unwrap();
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

fn assert_spared(mut stranger: Child) {
    assert_eq!(stranger.try_wait().unwrap(), None);
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn a_recorded_group_is_killed_although_it_carries_no_mark() {
    let bench = bench();
    let mut child = Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
    bench.records.put(attempt_ref(1, 1), pid(&child));

    bench.end(Duration::ZERO);

    assert_eq!(child.wait().unwrap().signal(), Some(9));
    assert_eq!(bench.records.files().unwrap(), Vec::<PathBuf>::new());
}

#[test]
fn a_recorded_group_is_killed_although_its_leader_has_ended() {
    let bench = bench();
    let script = "env -i sleep 600 & echo $!; read line";
    let mut leader = Command::new("sh")
        .args(["-c", script])
        .process_group(0)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = leader.stdout.take().unwrap();
    io::BufRead::read_line(&mut io::BufReader::new(stdout), &mut line).unwrap();
    let member = Pid::from_raw(line.trim().parse().unwrap());
    bench.records.put(attempt_ref(1, 1), pid(&leader));
    drop(leader.stdin.take());
    leader.wait().unwrap();
    assert!(stat(member).is_some());

    bench.end(Duration::ZERO);

    assert_eq!(stat(member), None);
}

#[test]
fn a_marked_process_is_killed_although_it_was_not_recorded() {
    let bench = bench();
    let mut left_behind = bench.sleeper(EARLIER);
    let ours = bench.sleeper(PRESENT);
    let other_worker = Bench { dir: tempfile::tempdir().unwrap(), ..self::bench() };
    let stranger = other_worker.sleeper(EARLIER);

    bench.end(Duration::ZERO);

    assert_eq!(left_behind.wait().unwrap().signal(), Some(9));
    assert_spared(ours);
    assert_spared(stranger);
}

#[test]
fn with_a_grace_they_are_asked_first() {
    let bench = bench();
    let mut left_behind = bench.sleeper(EARLIER);

    // It is reaped in the meantime, as by the process that would inherit it.
    let waiting = std::thread::spawn(move || left_behind.wait().unwrap());
    bench.end(Duration::from_secs(60));

    assert_eq!(waiting.join().unwrap().signal(), Some(15));
}

#[test]
fn a_number_that_another_process_has_now_is_spared() {
    let bench = bench();
    let stranger = Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
    let Process { session, started, .. } = stat(pid(&stranger)).unwrap();
    let record = format!("{} {session} {} {}", stranger.id(), started.0 - 1, bench.records.boot);
    fs::write(bench.records.path(attempt_ref(1, 1)), record).unwrap();
    fs::write(bench.records.path(attempt_ref(2, 1)), "torn").unwrap();

    bench.end(Duration::ZERO);

    assert_spared(stranger);
}
