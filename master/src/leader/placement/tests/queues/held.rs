//! Tasks that their queue, its rate or their concurrency key holds back, and tasks beside them.

use super::*;

#[test]
fn a_large_task_begins_beside_small_ones_in_its_bounded_queue_and_in_another() {
    let mut script = cluster(4);
    script.queue("a", QueueSettings { max_running: Some(2), ..QueueSettings::default() });
    let mut placer = Placer::default();
    script.tasks(2, &in_queue("a", 1));
    script.tasks(2, &class(50, 1));
    script.place_by(&mut placer);
    script.tasks(1, &in_queue("a", 4));
    let runs = |script: &Script, task: &u64| {
        let task = script.state.task(TaskId(*task));
        task.is_some_and(|task| task.live_attempt().is_some())
    };
    let mut rounds = 0;
    while !runs(&script, &5) {
        assert!(rounds < 20, "it has been overtaken for {rounds} rounds");
        rounds += 1;
        script.tasks(2, &in_queue("a", 1));
        script.tasks(2, &class(50, 1));
        let last = script.state.meta().next_task.0;
        let oldest = (1..last).find(|task| runs(&script, task)).unwrap();
        script.end(&[oldest]);
        while !script.place_by(&mut placer).is_empty() || !placer.is_over() {}
    }
}

#[test]
fn a_reservation_waits_for_the_next_start_of_a_rate_that_comes_soon_and_for_no_other() {
    for (per, reserved) in [(60, 1), (600, 0)] {
        let mut script = cluster(4);
        let rate = Rate { starts: 1, per: Duration::from_secs(per) };
        script.queue("a", QueueSettings { rate: Some(rate), ..QueueSettings::default() });
        let mut placer = Placer::default();
        script.tasks(1, &class(50, 2));
        script.place_by(&mut placer);
        script.tasks(1, &in_queue("a", 4));
        script.tasks(1, &in_queue("a", 1));
        assert_eq!(script.place_by(&mut placer), ["t3@w1"]);
        assert_eq!(script.place_by(&mut placer), [""; 0]);
        assert_eq!(placer.reserved(), reserved, "{per} s");
    }
}

#[test]
fn a_start_that_a_rate_allows_between_two_passes_of_a_round_is_used() {
    let mut script = cluster(8);
    script.memory_worker("w2", 100);
    let rate = Rate { starts: 1, per: Duration::from_secs(10) };
    script.queue("a", QueueSettings { rate: Some(rate), ..QueueSettings::default() });
    let mut placer = Placer::default();
    script.now = 1_000;
    script.tasks(2, &in_queue("a", 1));
    assert_eq!(script.place_by(&mut placer).len(), 1);
    assert_eq!(script.place_by(&mut placer), [""; 0]);

    // No worker has both, which a pass finds out for one class at a time.
    let both = Resources { memory_mib: 100, ..cpu(4) };
    script.tasks(1, &Class { resources: both.clone(), ..class(60, 4) });
    script.tasks(1, &Class { resources: both, ..class(50, 4) });
    let few = Bounds { placements: 1_000, probes: 0 };
    assert_eq!(script.pass(&mut placer, Strategy::Spread, few), []);
    assert!(!placer.is_over());
    script.now = 11_000;
    assert_eq!(script.pass(&mut placer, Strategy::Spread, few), []);
    assert!(!placer.is_over(), "a task that was held back may start");
    assert_eq!(script.place_by(&mut placer).len(), 1);
    assert_eq!((script.place_by(&mut placer), placer.is_over()), (vec![], true));
}

#[test]
fn a_task_is_not_said_to_be_held_back_after_the_time_of_its_next_start() {
    let mut script = cluster(1);
    let rate = Rate { starts: 1, per: Duration::from_secs(10) };
    script.queue("a", QueueSettings { rate: Some(rate), ..QueueSettings::default() });
    script.tasks(2, &in_queue("a", 1));
    script.place_by(&mut Placer::default());
    let hold = Hold::Rate { rate, until: Timestamp(10_000) };
    assert_eq!(script.pending(2), Some(PendingReason::Held { queue: name("a"), hold }));
    script.now = 10_000;
    assert_eq!(script.pending(2), Some(PendingReason::AllBusy { workers: 1, ahead: 0 }));
}

#[test]
fn a_task_behind_another_with_its_concurrency_key_names_that_one() {
    let mut script = cluster(1);
    script.tasks(1, &class(50, 1));
    script.place_by(&mut Placer::default());
    script.tasks(2, &Class { priority: 90, ..with_key("x") });
    script.tasks(1, &with_key("x"));
    let reasons = [2, 3, 4].map(|task| script.pending(task).unwrap());
    let busy = |ahead| PendingReason::AllBusy { workers: 1, ahead };
    assert_eq!(reasons, [busy(0), busy(1), PendingReason::BehindKey(TaskId(2))]);
    let text = "t2 with the same concurrency_key is next, and has no place yet";
    assert_eq!(reasons[2].to_string(), text);
}

#[test]
fn the_oldest_waiting_task_may_be_held_back() {
    let mut script = cluster(8);
    script.weigh("a", 1);
    script.pause("a", true);
    script.now = 1_000;
    script.tasks(1, &in_queue("a", 1));
    script.now = 2_000;
    script.tasks(2, &with_key("x"));
    script.now = 3_000;
    script.tasks(1, &class(50, 9));
    script.place_by(&mut Placer::default());
    assert_eq!(script.state.oldest_waiting().unwrap().id, TaskId(1));
    assert_eq!(script.state.oldest_not_paused().unwrap().id, TaskId(3));
}

#[test]
fn looks_at_queues_are_bounded_for_all_wishes_together() {
    let mut script = cluster(1);
    let (workers, queues) = (100, 300);
    for number in 2..=workers {
        script.worker(&format!("w{number}"), 1, &[]);
    }
    script.tasks(workers, &class(50, 1));
    script.commit(Strategy::Spread);
    for number in 0..queues {
        let queue = format!("q{number}");
        script.weigh(&queue, 1);
        script.tasks(1, &in_queue(&queue, 1));
    }
    let wish = |number| {
        let worker: WorkerId = format!("w{number}").parse().unwrap();
        let epoch = script.state.worker(&worker).unwrap().epoch;
        Wish { worker, epoch, most: 1, places: vec![cpu(1)] }
    };
    let wishes = (1..=workers).map(wish).collect::<Vec<_>>();
    let given = Placer::default().ahead(&script.state, script.moment(), &wishes);
    assert!((50..70).contains(&given.len()), "{} wishes have been considered", given.len());
}
