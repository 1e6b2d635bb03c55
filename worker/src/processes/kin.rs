//! Decides which processes belong together: those that carry a mark, and their descendants.

use std::collections::{BTreeMap, BTreeSet};

use cluster_state::Incarnation;
use nix::unistd::Pid;

use super::{HomeId, Mark, Process, StartTime};

/// Set of marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Mark of one attempt.
    Attempt(Mark),
    /// Marks of one process start of a worker.
    Incarnation(HomeId, Incarnation),
    /// Marks of all process starts of a worker except this one.
    Earlier(HomeId, Incarnation),
}

impl Whose {
    fn means(&self, mark: &Mark) -> bool {
        match self {
            Self::Attempt(ours) => ours == mark,
            Self::Incarnation(home, ours) => (*home, *ours) == (mark.home, mark.incarnation),
            Self::Earlier(home, ours) => *home == mark.home && *ours != mark.incarnation,
        }
    }
}

/// A set of related processes. It remembers its members, so that one that clears its environment or
/// loses its parent afterwards is still recognized.
#[derive(Debug)]
pub(crate) struct Kin {
    whose: Whose,
    /// These processes and the worker are spared, whatever they carry.
    spared: BTreeSet<Pid>,
    /// Groups and sessions that a member leads or led.
    led: BTreeSet<Pid>,
    seen: BTreeMap<Pid, StartTime>,
}

impl Kin {
    /// Creates the set of the processes with these marks; never this process.
    pub(crate) fn new(whose: Whose) -> Self {
        Self { whose, spared: [Pid::this()].into(), led: BTreeSet::new(), seen: BTreeMap::new() }
    }

    /// Adds the processes of this group.
    #[must_use]
    pub(crate) fn with_group(mut self, leader: Pid) -> Self {
        self.led.insert(leader);
        self
    }

    /// Returns true if the orphan belongs to one of them, as far as the orphan alone shows.
    pub(crate) fn claims(&self, orphan: &Process) -> bool {
        match &orphan.mark {
            Some(mark) => self.whose.means(mark),
            None => self.has_met(orphan),
        }
    }

    /// Selects the members among these processes.
    pub(crate) fn members(&mut self, processes: &[Process]) -> Vec<Process> {
        let mut members = BTreeMap::new();
        // Each member may bring children, its group and its session.
        loop {
            let count = members.len();
            for process in processes {
                let is_news = !members.contains_key(&process.id);
                if is_news && (self.belongs(process) || members.contains_key(&process.parent)) {
                    self.join(process);
                    members.insert(process.id, process);
                }
            }
            if members.len() == count {
                break;
            }
        }

        // Numbers of ended processes may be reused.
        self.led.retain(|leader| {
            members.values().any(|member| member.group == *leader || member.session == *leader)
        });
        self.seen.retain(|id, _| members.contains_key(id));
        members.into_values().cloned().collect()
    }

    fn belongs(&self, process: &Process) -> bool {
        if self.spared.contains(&process.id) {
            return false;
        }
        process.mark.as_ref().is_some_and(|mark| self.whose.means(mark)) || self.has_met(process)
    }

    fn has_met(&self, process: &Process) -> bool {
        self.led.contains(&process.group)
            || self.led.contains(&process.session)
            || self.seen.get(&process.id) == Some(&process.started)
    }

    /// Adds a member. Groups and sessions count only when a member leads them: the member may be in
    /// those of the worker, or of the shell that started the worker.
    fn join(&mut self, process: &Process) {
        self.seen.insert(process.id, process.started);
        if process.group == process.id || process.session == process.id {
            self.led.insert(process.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::ledger::attempt_ref;

    const SHELL: i32 = 10;
    const WORKER: i32 = 20;

    fn mark(incarnation: u128, task: u64) -> Mark {
        let home = HomeId::of(Path::new("/")).unwrap();
        Mark { home, incarnation: Incarnation(incarnation), attempt: attempt_ref(task, 1) }
    }

    /// Returns a process in the worker's session whose parent leads its own group.
    fn process(id: i32, parent: i32, group: i32, session: i32) -> Process {
        let [id, parent, group, session] = [id, parent, group, session].map(Pid::from_raw);
        Process { id, parent, group, session, started: StartTime(1), mark: None }
    }

    fn marked(mut process: Process, mark: Mark) -> Process {
        process.mark = Some(mark);
        process
    }

    fn ids(members: &[Process]) -> Vec<i32> {
        members.iter().map(|member| member.id.as_raw()).collect()
    }

    fn kin_of_first() -> Kin {
        Kin::new(Whose::Attempt(mark(7, 1))).with_group(Pid::from_raw(30))
    }

    #[test]
    fn children_groups_and_sessions_of_members_belong_to_them() {
        let table = [
            process(SHELL, 1, SHELL, SHELL),
            process(WORKER, SHELL, WORKER, SHELL),
            process(30, WORKER, 30, SHELL),
            process(31, 30, 30, SHELL),
            // It left the session with a cleared environment.
            process(32, 31, 32, 32),
            process(33, 1, 33, 32),
            // Another attempt.
            process(40, WORKER, 40, SHELL),
        ];
        assert_eq!(ids(&kin_of_first().members(&table)), [30, 31, 32, 33]);
    }

    #[test]
    fn the_mark_finds_what_left_group_session_and_parent() {
        let table = [
            marked(process(50, WORKER, 50, 50), mark(7, 1)),
            marked(process(51, WORKER, 51, 51), mark(7, 2)),
            marked(process(52, WORKER, 52, 52), mark(8, 1)),
        ];
        assert_eq!(ids(&kin_of_first().members(&table)), [50]);
    }

    #[test]
    fn a_marked_process_brings_neither_the_workers_group_nor_its_session() {
        let table = [
            process(SHELL, 1, SHELL, SHELL),
            process(WORKER, SHELL, WORKER, SHELL),
            marked(process(60, WORKER, WORKER, SHELL), mark(7, 1)),
        ];
        assert_eq!(ids(&kin_of_first().members(&table)), [60]);
    }

    #[test]
    fn what_was_seen_is_recognized_after_it_cleared_its_environment() {
        let mut kin = kin_of_first();
        kin.members(&[marked(process(50, WORKER, WORKER, SHELL), mark(7, 1))]);
        let cleared = process(50, WORKER, WORKER, SHELL);

        assert_eq!(ids(&kin.members(std::slice::from_ref(&cleared))), [50]);
        let recycled = Process { started: StartTime(2), ..cleared };
        assert_eq!(ids(&kin.members(&[recycled])), Vec::<i32>::new());
    }

    #[test]
    fn a_group_that_has_ended_is_forgotten() {
        let mut kin = kin_of_first();
        assert_eq!(ids(&kin.members(&[])), Vec::<i32>::new());
        assert_eq!(
            ids(&kin.members(&[process(31, 1, 30, SHELL)])),
            Vec::<i32>::new(),
            "another's by now"
        );
    }

    #[test]
    fn earlier_starts_of_the_worker_are_all_but_the_present_one() {
        let table = [5, 6, 7].map(|start| marked(process(start, 1, 1, 1), mark(start as u128, 1)));
        let home = mark(7, 1).home;
        let earlier = Kin::new(Whose::Earlier(home, Incarnation(7))).members(&table);
        let present = Kin::new(Whose::Incarnation(home, Incarnation(7))).members(&table);
        assert_eq!((ids(&earlier), ids(&present)), (vec![5, 6], vec![7]));
    }
}
