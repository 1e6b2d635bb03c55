//! The classes that a round considers, and those that it skips.

use super::*;

/// A worker with processors and one with memory: what asks for both fits on neither.
fn two_halves(script: &mut Script) {
    script.worker("w1", 8, &[]);
    script.memory_worker("w2", 64);
}

fn both(memory_mib: u64) -> Class {
    let resources = Resources { memory_mib, ..cpu(4) };
    Class { resources, ..class(90, 4) }
}

#[test]
fn a_pass_that_costs_too_much_is_continued_behind_the_classes_that_were_in_vain() {
    let mut script = Script::new();
    two_halves(&mut script);
    for memory in 1..=5 {
        script.tasks(1, &both(memory));
    }
    script.tasks(1, &class(10, 1));
    let bounds = Bounds { placements: 1_000, probes: 5 };
    let mut placer = Placer::default();
    let mut passes = 0;
    let placed = loop {
        passes += 1;
        let placed = script.pass(&mut placer, Strategy::Spread, bounds);
        if placer.is_over() {
            break words(&placed);
        }
        assert_eq!(words(&placed), [""; 0]);
    };
    assert_eq!(placed, ["t6@w1"]);
    assert!(passes > 2, "{passes} passes");
}

#[test]
fn what_did_not_fit_is_not_looked_at_until_there_is_more_room() {
    let mut script = Script::new();
    two_halves(&mut script);
    for memory in 1..=50 {
        script.tasks(1, &both(memory));
    }
    let mut placer = Placer::default();
    assert!(script.pass(&mut placer, Strategy::Spread, AMPLE).is_empty());

    // One look at the new class, and one at each of two workers.
    script.tasks(1, &both(51));
    let few = Bounds { placements: 1_000, probes: 4 };
    assert!(script.pass(&mut placer, Strategy::Spread, few).is_empty());
    assert!(placer.is_over());

    script.worker("w3", 8, &[]);
    assert!(script.pass(&mut placer, Strategy::Spread, AMPLE).is_empty());
    script.larger_worker("w4", 8, 30);
    let placed = words(&script.pass(&mut placer, Strategy::Spread, AMPLE));
    assert_eq!(placed, ["t1@w4", "t2@w4"]);
}

#[test]
fn what_was_refused_is_looked_at_again() {
    let mut script = Script::new();
    script.worker("w1", 1, &[]);
    script.tasks(2, &class(50, 1));
    let mut placer = Placer::default();
    assert_eq!(words(&script.pass(&mut placer, Strategy::Spread, AMPLE)), ["t1@w1"]);
    assert!(script.pass(&mut placer, Strategy::Spread, AMPLE).is_empty());
    placer.on_refused();
    assert_eq!(words(&script.pass(&mut placer, Strategy::Spread, AMPLE)), ["t1@w1"]);
}

#[test]
fn tasks_of_all_classes_go_in_the_order_in_which_they_were_submitted() {
    let mut script = Script::new();
    script.worker("w1", 4, &[]);
    for _ in 0..3 {
        script.now += 1_000;
        script.tasks(1, &class(50, 1));
        script.tasks(1, &Class { worker: Some("w1".parse().unwrap()), ..class(50, 1) });
    }
    assert_eq!(script.place(Strategy::Spread), ["t1@w1", "t2@w1", "t3@w1", "t4@w1"]);
}

#[test]
fn what_nobody_may_run_costs_nothing() {
    let mut script = Script::new();
    script.worker("w1", 4, &[("zone", "a")]);
    let needs = |value: String| {
        let zone = Constraint { label: "zone".to_owned(), op: ConstraintOp::Equals(value) };
        Class { constraints: vec![zone], ..class(90, 1) }
    };
    let mut placer = Placer::default();
    assert!(script.pass(&mut placer, Strategy::Spread, AMPLE).is_empty());
    for number in 0..2_000 {
        script.tasks(1, &needs(format!("b{number}")));
    }
    assert!(script.pass(&mut placer, Strategy::Spread, AMPLE).is_empty());

    script.tasks(1, &class(10, 1));
    script.tasks(1, &needs("a".to_owned()));
    let few = Bounds { placements: 1_000, probes: 20 };
    assert_eq!(words(&script.pass(&mut placer, Strategy::Spread, few)), ["t2002@w1", "t2001@w1"]);
    assert!(placer.is_over());
    // A worker that has room again is no reason to look at them.
    script.worker("w2", 4, &[("zone", "b7")]);
    assert_eq!(words(&script.pass(&mut placer, Strategy::Spread, few)), ["t8@w2", "t2001@w1"]);
}
