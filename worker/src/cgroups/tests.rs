//! Tests with a directory that looks like a hierarchy, and with the machine's own where that may be
//! written.

use std::io::Write;
use std::process::{Command, Stdio};

use super::*;
use crate::ledger::attempt_ref;

const A: AttemptRef = attempt_ref(7, 2);

/// Creates groups of this machine below a group of their own, if that is possible.
#[expect(clippy::print_stdout, reason = "tells why nothing is tested")]
pub(crate) fn real(name: &str) -> Option<(Cgroups, Real)> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let own = own_group("0::/", &read("/proc/self/mounts"));
    let top = own.map(|root| root.join(format!("cloudai-test-{}-{name}", std::process::id())));
    let made = top.filter(|top| fs::create_dir(top).is_ok());
    let Some(top) = made else {
        println!("SKIPPED: no control group of version 2 may be written here");
        return None;
    };
    Some((Cgroups::divide(&top, TASKS).unwrap(), Real(top)))
}

/// A group of this machine, which is removed at the end.
pub(crate) struct Real(PathBuf);

impl Real {
    pub(crate) fn is_empty(&self) -> bool {
        let entries = fs::read_dir(self.0.join(TASKS)).unwrap().flatten();
        !entries.into_iter().any(|entry| entry.file_type().unwrap().is_dir())
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        for name in [TASKS, WORKER, ""] {
            fs::remove_dir(self.0.join(name)).unwrap_or_default();
        }
    }
}

/// Creates what looks like a group with these controllers.
fn fake(controllers: &str) -> tempfile::TempDir {
    let own = tempfile::tempdir().unwrap();
    fs::write(own.path().join("cgroup.controllers"), controllers).unwrap();
    own
}

fn limits(controllers: &str, present: &[&str], room: &Resources) -> Vec<(String, String)> {
    let own = fake(controllers);
    let groups = Cgroups::divide(own.path(), TASKS).unwrap();
    let dir = groups.tasks.join("t7.2");
    fs::create_dir(&dir).unwrap();
    for name in present {
        fs::write(dir.join(name), "").unwrap();
    }
    let group = groups.create(A, Some(room)).unwrap();
    assert_eq!(group.dir, dir);
    let files = fs::read_dir(&group.dir).unwrap().flatten().map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read_to_string(entry.path()).unwrap())
    });
    let mut files = files.collect::<Vec<_>>();
    files.sort();
    files
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

#[test]
fn an_attempt_is_limited_to_what_it_occupies() {
    let room = Resources { cpu_milli: 1_500, memory_mib: 512, ..Resources::default() };
    let all = [
        ("cpu.max", "150000 100000"),
        ("memory.max", "536870912"),
        ("memory.oom.group", "1"),
        ("memory.swap.max", "0"),
    ];
    assert_eq!(limits("cpuset cpu io memory pids\n", &OPTIONAL, &room), pairs(all));
    assert_eq!(limits("cpu memory", &[], &room), pairs([all[0], all[1]]), "an older kernel");
    assert_eq!(limits("cpu\n", &[], &room), pairs([all[0]]));
    assert_eq!(limits("hugetlb\n", &[], &room), []);
    let little = Resources { cpu_milli: 1, ..Resources::default() };
    assert_eq!(limits("cpu memory", &[], &little), pairs([("cpu.max", "1000 1000000")]));
}

#[test]
fn what_an_attempt_has_used_is_read_from_its_group() {
    let own = fake("cpu memory");
    let group = Cgroups::divide(own.path(), TASKS).unwrap().create(A, None).unwrap();
    assert_eq!(group.usage(), None);
    let write = |name: &str, text: &str| fs::write(group.dir.join(name), text).unwrap();
    write("cpu.stat", "usage_usec 1500\nuser_usec 1000\n");
    let used = AttemptUsage { cpu_micros: 1_500, ..AttemptUsage::default() };
    assert_eq!(group.usage(), Some(used));
    write("memory.peak", "4096\n");
    let used = AttemptUsage { memory_peak_bytes: Some(4_096), ..used };
    let full = AttemptUsage { out_of_memory: true, ..used };
    write("memory.events", "oom 1\noom_kill 2\n");
    assert_eq!(group.usage(), Some(used), "it has no limit");
    write("memory.max", "max\n");
    assert_eq!(group.usage(), Some(used), "it has no limit");
    write("memory.max", "8192\n");
    assert_eq!(group.usage(), Some(full));
    write("memory.events.local", "oom 0\noom_kill 0\n");
    assert_eq!(group.usage(), Some(used), "a group below has reached its own limit");
    // All are killed at once, each counts where it is.
    write("memory.events.local", "oom 1\noom_kill 0\n");
    assert_eq!(group.usage(), Some(full));
    write("memory.events", "oom 0\noom_kill 1\n");
    write("memory.events.local", "oom 0\noom_kill 1\n");
    assert_eq!(group.usage(), Some(used), "the machine had no memory");
}

#[test]
fn a_worker_that_starts_again_where_it_was_divides_the_same_group() {
    let own = fake("cpu");
    let first = Cgroups::divide(own.path(), TASKS).unwrap();
    let again = undivided(own.path().join(WORKER), TASKS);
    assert_eq!(again, own.path());
    assert_eq!(Cgroups::divide(&again, TASKS).unwrap().tasks, first.tasks);
    assert_eq!(undivided(own.path().join(WORKER), "tasks-other"), own.path().join(WORKER));
    assert_eq!(undivided(own.path().join("a"), TASKS), own.path().join("a"));
}

#[test]
fn what_a_task_has_made_in_its_group_is_removed_with_it() {
    let own = fake("cpu memory");
    let group = Cgroups::divide(own.path(), TASKS).unwrap().create(A, None).unwrap();
    fs::create_dir_all(group.dir.join("a/b")).unwrap();
    fs::create_dir(group.dir.join("c")).unwrap();
    group.remove();
    assert!(!group.dir.exists());
}

#[test]
fn a_group_that_cannot_be_limited_is_removed() {
    let own = fake("memory");
    let groups = Cgroups::divide(own.path(), TASKS).unwrap();
    let dir = groups.tasks.join("t7.2");
    fs::create_dir_all(dir.join("memory.max")).unwrap();
    let room = Resources { memory_mib: 1, ..Resources::default() };
    assert!(groups.create(A, Some(&room)).is_err() && !dir.exists());
}

#[test]
fn the_own_group_is_found_wherever_the_hierarchy_is() {
    let hybrid =
        "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\nx /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
    let own = own_group("4:memory:/a\n0::/system.slice/w.service\n", hybrid);
    let expected = "/sys/fs/cgroup/unified/system.slice/w.service";
    assert_eq!(own.as_deref(), Some(Path::new(expected)));
    assert_eq!(own_group("4:memory:/a\n", hybrid), None);
    assert_eq!(own_group("0::/\n", "x /sys/fs/cgroup/cpu cgroup rw 0 0\n"), None);
}

#[test]
fn a_group_is_killed_as_a_whole_and_what_was_left_is_removed() {
    let Some((groups, real)) = real("whole") else { return };
    let group = groups.create(A, None).unwrap();
    // Its child is born in the group.
    let mut shell = Command::new("sh");
    shell.args(["-c", "read line; sleep 600 & sleep 600"]).stdin(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    group.enter(Pid::from_raw(child.id().try_into().unwrap()));
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    assert_eq!(groups.create(A, None).unwrap().dir, group.dir, "it is there already");

    // As a later process of the worker does.
    let clearing = std::thread::spawn(move || groups.clear());
    assert!(!child.wait().unwrap().success());
    clearing.join().unwrap().unwrap();
    assert!(real.is_empty());
}
