//! Tasks that are given to workers ahead of the room for them.

use cluster_state::{
    AssignAhead, BeginTerm, ClusterId, Epoch, Level, Limits, MasterId, RaiseLevel,
};

use super::*;

/// Returns a cluster with a worker of so many processors, all in use.
fn busy(cpus: u64) -> Script {
    let mut script = Script::new();
    script.apply(Command::BeginTerm(BeginTerm {
        leader: MasterId(1),
        term: Term(1),
        cluster: ClusterId(1),
        live_bytes_max: Limits::LIVE_BYTES_DEFAULT,
    }));
    script.apply(Command::RaiseLevel(RaiseLevel { term: Term(1), level: Level::NEWEST }));
    script.term = 1;
    script.worker("w1", cpus, &[("zone", "a")]);
    script.tasks(1, &class(50, cpus));
    script.commit(Strategy::Spread);
    script
}

/// Gives tasks ahead to these workers, each with the number that may wait there.
/// Attempts of up to two processors have ended there.
fn give(script: &Script, wishes: &[(&str, usize)]) -> Vec<Assignment> {
    let wishes = wishes.iter().map(|(worker, most)| Wish {
        worker: worker.parse().unwrap(),
        epoch: Epoch(1),
        most: *most,
        places: vec![cpu(1), cpu(2)],
    });
    Placer::default().ahead(&script.state, script.moment(), &wishes.collect::<Vec<_>>())
}

fn in_zone(zone: &str) -> Class {
    let op = ConstraintOp::Equals(zone.to_owned());
    let constraints = vec![Constraint { label: "zone".to_owned(), op }];
    Class { constraints, ..class(50, 1) }
}

#[test]
fn each_worker_gets_what_it_wants_and_no_task_is_given_twice() {
    let mut script = busy(1);
    script.worker("w2", 1, &[]);
    script.tasks(7, &class(50, 1));
    script.commit(Strategy::Spread);
    let given = give(&script, &[("w1", 3), ("w2", 2), ("w3", 9)]);
    assert_eq!(words(&given), ["t3@w1", "t4@w1", "t5@w1", "t6@w2", "t7@w2"]);
    assert_eq!(give(&script, &[("w1", 0)]), []);
}

#[test]
fn a_worker_is_filled_up_when_half_is_gone() {
    let mut script = busy(1);
    script.tasks(20, &class(50, 1));
    let given = give(&script, &[("w1", 4)]);
    assert_eq!(words(&given), ["t2@w1", "t3@w1", "t4@w1", "t5@w1"]);
    script.apply(Command::AssignAhead(AssignAhead { term: Term(1), assignments: given }));
    assert_eq!(give(&script, &[("w1", 6)]), []);
    let more = give(&script, &[("w1", 8)]);
    assert_eq!(words(&more), ["t6@w1", "t7@w1", "t8@w1", "t9@w1"]);
}

#[test]
fn what_waits_at_a_worker_has_its_room() {
    let mut script = busy(1);
    script.tasks(2, &class(50, 1));
    let assignments = give(&script, &[("w1", 1)]);
    script.apply(Command::AssignAhead(AssignAhead { term: Term(1), assignments }));
    let first = AttemptRef { task: TaskId(1), attempt: AttemptNumber(1) };
    let attempts = vec![FinishedAttempt {
        attempt: first,
        outcome: AttemptOutcome::Exited { code: 0 },
        report: None,
    }];
    let worker: WorkerId = "w1".parse().unwrap();
    let epoch = script.state.worker(&worker).unwrap().epoch;
    script.apply(Command::FinishAttempts(FinishAttempts { worker, epoch, attempts }));
    assert_eq!(script.place(Strategy::Spread), [""; 0]);
}

#[test]
fn the_most_important_come_first_whatever_their_class() {
    // A worker of four processors, of which places for two were left a moment ago.
    let mut script = busy(4);
    script.tasks(2, &class(50, 1));
    script.tasks(2, &class(90, 1));
    script.tasks(1, &in_zone("a"));
    script.tasks(1, &in_zone("b"));
    script.tasks(1, &class(50, 3));
    script.tasks(1, &class(50, 2));
    let given = give(&script, &[("w1", 9)]);
    assert_eq!(words(&given), ["t4@w1", "t5@w1", "t2@w1", "t3@w1", "t6@w1", "t9@w1"]);
}

#[test]
fn a_task_is_kept_from_the_worker_on_which_it_failed_to_start() {
    let mut script = busy(1);
    script.worker("w2", 1, &[]);
    script.tasks(1, &class(50, 1));
    script.commit(Strategy::Spread);
    script.fails_to_start("w2", [2]);
    script.tasks(1, &class(90, 1));
    script.commit(Strategy::Spread);
    assert_eq!(give(&script, &[("w2", 2)]), []);
    assert_eq!(words(&give(&script, &[("w1", 2), ("w2", 2)])), ["t2@w1"]);
}

#[test]
fn a_wish_counts_for_its_registration_only() {
    let mut script = busy(1);
    script.tasks(2, &class(50, 1));
    let worker: WorkerId = "w1".parse().unwrap();
    let wish = Wish { worker, epoch: Epoch(2), most: 2, places: vec![cpu(1)] };
    assert_eq!(Placer::default().ahead(&script.state, script.moment(), &[wish]), []);
}
