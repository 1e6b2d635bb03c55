//! Supervises the processes of one attempt until none is left.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{AttemptRef, AttemptReport};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::warn;

use super::{Machine, Started, result_file};
use crate::cgroups::Group;
use crate::executor::{RunningAttempt, Stop};
use crate::logs::AttemptLogs;
use crate::processes::{Kin, Process, Whose, find, signal_all};

/// Time to wait for output after all processes have ended, since one that escaped may hold the pipe
/// open forever. The pipe is closed then, and later output is lost.
pub(super) const OUTPUT_GRACE: Duration = Duration::from_secs(2);
/// First and longest pause between two searches for the remains of an attempt.
const SEARCH_PAUSE: Duration = Duration::from_millis(5);
const LOOK_PAUSE_MAX: Duration = Duration::from_millis(250);
/// Time after which a killed process that does not disappear, such as one that waits for a disk, is
/// logged.
const TELL_AFTER: Duration = Duration::from_mins(1);

/// Stage that the end of an attempt has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Not requested.
    Unasked,
    /// Requested; the attempt is killed at this time. Absent: never.
    Asked { kill_at: Option<Instant> },
    /// Everything left is killed, repeatedly.
    Killing { since: Instant, logged: Logged },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Logged {
    No,
    Yes,
}

/// The processes of one attempt.
struct AttemptProcesses<'a> {
    attempt: AttemptRef,
    machine: &'a Arc<Machine>,
    first: Pid,
    /// Absent only during a search.
    kin: Option<Kin>,
    ending: Ending,
    remains: Remains,
}

/// Places of what is left of an attempt when its processes are gone.
#[derive(Debug, Clone)]
struct Remains {
    attempt: AttemptRef,
    result: PathBuf,
    group: Option<Group>,
}

impl Remains {
    /// Takes what is to be told, and removes what is needed no longer; nothing while processes are left in
    /// the group. It blocks.
    fn take(&self, machine: &Machine) -> Option<AttemptReport> {
        if !self.group.as_ref().is_none_or(Group::is_emptied) {
            return None;
        }
        machine.records.remove(self.attempt);
        let usage = self.group.as_ref().and_then(Group::end);
        Some(AttemptReport { usage, result: result_file::take(&self.result) })
    }
}

/// Runs an attempt to its end: stops it on request, and leaves no process behind.
pub(super) async fn run(
    started: Started,
    attempt: &mut RunningAttempt,
    logs: Arc<AttemptLogs>,
    machine: &Arc<Machine>,
) -> (io::Result<ExitStatus>, AttemptReport) {
    let Started { mut child, first, writers: [out, err], group } = started;
    let id = attempt.attempt;
    let remains = Remains { attempt: id, result: logs.result_path(), group };
    let mut outputs = JoinSet::new();
    if let Some(stdout) = child.stdout.take() {
        let logs = Arc::clone(&logs);
        outputs.spawn(async move { logs.record(out, stdout).await });
    }
    if let Some(stderr) = child.stderr.take() {
        outputs.spawn(async move { logs.record(err, stderr).await });
    }

    let kin = Kin::new(Whose::Attempt(machine.mark(id))).with_group(first);
    let kin = Some(kin);
    let mut processes =
        AttemptProcesses { attempt: id, machine, first, kin, ending: Ending::Unasked, remains };
    let status = processes.first_ended(&mut child, attempt).await;
    machine.children.forget(first);
    let report = processes.all_ended(attempt).await;
    finish_outputs(outputs, id).await;
    (status, report)
}

impl AttemptProcesses<'_> {
    async fn first_ended(
        &mut self,
        child: &mut Child,
        attempt: &mut RunningAttempt,
    ) -> io::Result<ExitStatus> {
        loop {
            let due = self.due();
            tokio::select! {
                status = child.wait() => return status,
                stop = attempt.stopped() => self.on_stop(stop).await,
                () = due => self.kill_all().await,
            }
        }
    }

    /// Waits until nothing is left. Processes that outlive the first one have the rest of the grace
    /// period if the attempt was asked to end, and otherwise none: the attempt ends with its first
    /// process.
    async fn all_ended(&mut self, attempt: &mut RunningAttempt) -> AttemptReport {
        if let Some(report) = self.nothing_left().await {
            return report;
        }
        if self.ending == Ending::Unasked {
            self.ending = Ending::Killing { since: Instant::now(), logged: Logged::No };
        }

        let mut pause = SEARCH_PAUSE;
        loop {
            let members = self.members().await;
            if members.is_empty() {
                break;
            }
            if matches!(self.ending, Ending::Killing { .. }) {
                self.kill(&members);
            }
            tokio::select! {
                stop = attempt.stopped() => self.on_stop(stop).await,
                () = sleep(pause) => {}
            }
            if let Ending::Asked { kill_at: Some(at) } = self.ending
                && Instant::now() >= at
            {
                self.kill_all().await;
            }
            pause = (pause * 2).min(LOOK_PAUSE_MAX);
        }

        self.take_remains().await
    }

    /// Takes what is left once the group is empty, where there may be processes that no list shows as the
    /// attempt's.
    async fn take_remains(&self) -> AttemptReport {
        let mut logged = Logged::No;
        loop {
            let (machine, remains) = (Arc::clone(self.machine), self.remains.clone());
            let taking = tokio::task::spawn_blocking(move || remains.take(&machine));
            if let Some(report) = taking.await.unwrap_or_else(|_| Some(AttemptReport::default())) {
                return report;
            }
            if logged == Logged::No {
                logged = Logged::Yes;
                let AttemptRef { task, attempt } = self.attempt;
                warn!(%task, %attempt,
                    "killed processes do not leave the control group, the attempt goes on until they do");
            }
            sleep(LOOK_PAUSE_MAX).await;
        }
    }

    async fn on_stop(&mut self, stop: Stop) {
        match (stop, self.ending) {
            (Stop::Terminate(grace), Ending::Unasked) => {
                self.ending = Ending::Asked { kill_at: Instant::now().checked_add(grace) };
                self.terminate_all().await;
            }
            // A repeated order does not begin another grace period.
            (Stop::Terminate(_), Ending::Asked { .. } | Ending::Killing { .. }) => {}
            (Stop::Kill, _) => self.kill_all().await,
        }
    }

    /// Terminates the whole group at once, so that no member forks in the meantime, and then the
    /// processes that left it.
    async fn terminate_all(&mut self) {
        // An error means that the group is empty.
        killpg(self.first, Signal::SIGTERM).unwrap_or_default();
        let group = self.first;
        let others = self.members().await.into_iter().filter(|member| member.group != group);
        signal_all(&others.collect::<Vec<_>>(), Signal::SIGTERM);
    }

    async fn kill_all(&mut self) {
        if !matches!(self.ending, Ending::Killing { .. }) {
            self.ending = Ending::Killing { since: Instant::now(), logged: Logged::No };
        }
        let members = self.members().await;
        self.kill(&members);
    }

    fn kill(&mut self, members: &[Process]) {
        let refused = signal_all(members, Signal::SIGKILL);
        if let Ending::Killing { since, logged: logged @ Logged::No } = &mut self.ending
            && since.elapsed() >= TELL_AFTER
        {
            *logged = Logged::Yes;
            let AttemptRef { task, attempt } = self.attempt;
            let processes = members.iter().map(|member| member.id.as_raw()).collect::<Vec<_>>();
            warn!(%task, %attempt, ?processes, not_permitted = refused.len(),
                "killed processes do not disappear, the attempt goes on until they do");
        }
    }

    /// Waits until it is time to kill: after the grace period, and again while that has no effect.
    fn due(&self) -> impl Future<Output = ()> + use<> {
        let ending = self.ending;
        async move {
            match ending {
                Ending::Unasked | Ending::Asked { kill_at: None } => std::future::pending().await,
                Ending::Asked { kill_at: Some(at) } => sleep_until(at).await,
                Ending::Killing { .. } => sleep(LOOK_PAUSE_MAX).await,
            }
        }
    }

    /// Takes what is left of the attempt, unless its first process left others behind. Where orphans
    /// fall to the worker this costs little: all remains of an attempt hang below one process.
    async fn nothing_left(&mut self) -> Option<AttemptReport> {
        let (machine, remains) = (Arc::clone(self.machine), self.remains.clone());
        let kin = self.kin.take()?;
        let looking = tokio::task::spawn_blocking(move || {
            let orphans = machine.children.orphans().unwrap_or_default();
            let left = orphans.is_none_or(|orphans| {
                let mut orphans = orphans.into_iter().filter_map(find);
                orphans.any(|orphan| kin.claims(&orphan))
            });
            (kin, if left { None } else { remains.take(&machine) })
        });

        let (kin, report) = looking.await.ok()?;
        self.kin = Some(kin);
        report
    }

    /// Lists the present processes of the attempt; while it is killed, its group is before.
    async fn members(&mut self) -> Vec<Process> {
        let machine = Arc::clone(self.machine);
        let mark = machine.mark(self.attempt);
        let mut kin = self.kin.take().unwrap_or_else(|| Kin::new(Whose::Attempt(mark)));
        let is_killed = matches!(self.ending, Ending::Killing { .. });
        let group = self.remains.group.clone().filter(|_| is_killed);
        let looking = tokio::task::spawn_blocking(move || {
            group.iter().for_each(Group::kill);
            let members = machine.census.take().map(|all| kin.members(&all));
            (kin, members)
        });
        match looking.await {
            Ok((kin, Ok(members))) => {
                self.kin = Some(kin);
                members
            }
            Ok((kin, Err(error))) => {
                self.kin = Some(kin);
                warn!(%error, "cannot list processes, killing only the group of the attempt");
                self.end_group()
            }
            Err(_) => self.end_group(),
        }
    }

    /// Kills the group, which needs no list of processes.
    fn end_group(&self) -> Vec<Process> {
        if matches!(self.ending, Ending::Killing { .. }) {
            killpg(self.first, Signal::SIGKILL).unwrap_or_default();
        }
        Vec::new()
    }
}

async fn finish_outputs(mut outputs: JoinSet<io::Result<()>>, attempt: AttemptRef) {
    let finish = async {
        while let Some(recorded) = outputs.join_next().await {
            if let Err(error) = recorded.map_err(io::Error::other).flatten() {
                warn!(task = %attempt.task, attempt = %attempt.attempt, %error, "cannot read output");
            }
        }
    };
    if timeout(OUTPUT_GRACE, finish).await.is_err() {
        warn!(task = %attempt.task, attempt = %attempt.attempt, "output is still open, closing it");
    }
    outputs.shutdown().await;
}
