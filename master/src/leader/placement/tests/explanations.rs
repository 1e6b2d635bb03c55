//! A waiting task is explained worker by worker.

use super::*;
use crate::leader::placement::{Explanation, Obstacle, Obstructed};

/// Returns the obstacles in words, each with the workers that it concerns.
fn obstacles(script: &Script, task: u64) -> Vec<String> {
    let task = script.state.task(TaskId(task)).unwrap();
    let explanation = Explanation::of(&script.state, task);
    let obstructed = explanation.obstructed.iter().map(|one| one.workers).sum::<usize>();
    assert_eq!(explanation.workers, explanation.fitting + obstructed, "each is counted once");
    let words = |one: &Obstructed| {
        let short = one.shortages.iter().map(|short| format!(" {short}")).collect::<String>();
        let obstacle = if let Obstacle::Constraint(constraint) = &one.obstacle {
            constraint.to_string()
        } else {
            format!("{:?}", one.obstacle).split('(').next().unwrap().to_owned()
        };
        let names = one.examples.iter().map(ToString::to_string).collect::<Vec<_>>();
        format!("{}×{obstacle} {}{short}", one.workers, names.join(","))
    };
    let fitting = (explanation.fitting > 0).then(|| format!("{} fit", explanation.fitting));
    fitting.into_iter().chain(explanation.obstructed.iter().map(words)).collect()
}

#[test]
fn each_worker_has_one_obstacle_and_resources_that_are_short_are_named() {
    let mut script = Script::new();
    script.apply(Command::RegisterWorker(RegisterWorker {
        worker: "away".parse().unwrap(),
        address: None,
        labels: Some([("zone".to_owned(), "a".to_owned())].into()),
    }));
    for (name, cpus) in [("b1", 64), ("b2", 64)] {
        script.worker(name, cpus, &[("zone", "b")]);
    }
    for (name, cpus) in [("s1", 2), ("s2", 3), ("full", 8), ("shut", 8), ("left", 8)] {
        script.worker(name, cpus, &[("zone", "a")]);
    }
    script.order("shut", SchedulingOrder::Cordon);
    script.order("left", SchedulingOrder::Drain { timeout: None });
    script.tasks(1, &Class { worker: Some("full".parse().unwrap()), ..class(50, 6) });
    script.commit(Strategy::Spread);

    let in_a = Constraint { label: "zone".to_owned(), op: ConstraintOp::Equals("a".to_owned()) };
    script.tasks(1, &Class { constraints: vec![in_a], ..class(50, 4) });
    assert_eq!(
        obstacles(&script, 2),
        [
            "2×zone = a b1,b2",
            "2×TooSmall s1,s2 cpu: 4000 thousandths wanted, 3000 free",
            "1×Inactive away",
            "1×Cordoned shut",
            "1×Draining left",
            "1×Busy full cpu: 4000 thousandths wanted, 2000 free",
        ]
    );

    // Who names its worker cares for no other.
    script.tasks(1, &Class { worker: Some("full".parse().unwrap()), ..class(50, 2) });
    assert_eq!(obstacles(&script, 3), ["1 fit", "7×OtherWorker away,b1,b2,left,s1"]);
}

#[test]
fn a_worker_on_which_the_program_did_not_start_is_told_apart() {
    let mut script = Script::new();
    script.worker("w1", 2, &[]);
    script.tasks(1, &class(50, 1));
    script.commit(Strategy::Spread);
    script.worker("w2", 1, &[]);
    script.tasks(1, &Class { worker: Some("w2".parse().unwrap()), ..class(90, 1) });
    script.commit(Strategy::Spread);
    script.fails_to_start("w1", [1]);

    assert_eq!(
        obstacles(&script, 1),
        ["1×FailedStart w1", "1×Busy w2 cpu: 1000 thousandths wanted, 0 free"]
    );
}
