//! Named queues: their shares of the fleet, their bounds, and what is said of tasks that they hold back.

use cluster_state::{
    BeginTerm, ClusterId, Epoch, Hold, Level, Limits, MasterId, PauseQueue, PutQueue, QueueName,
    QueueSettings, RaiseLevel, Rate,
};
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

use super::*;

mod held;

fn name(text: &str) -> QueueName {
    text.parse().unwrap()
}

fn in_queue(queue: &str, cpus: u64) -> Class {
    Class { queue: name(queue), ..class(50, cpus) }
}

fn with_key(key: &str) -> Class {
    Class { concurrency_key: Some(key.parse().unwrap()), ..class(50, 1) }
}

/// Returns a cluster of the newest level, with a worker of so many processors.
fn cluster(cpus: u64) -> Script {
    let mut script = Script::new();
    script.apply(Command::BeginTerm(BeginTerm {
        leader: MasterId(1),
        term: Term(1),
        cluster: ClusterId(1),
        live_bytes_max: Limits::LIVE_BYTES_DEFAULT,
    }));
    script.term = 1;
    script.apply(Command::RaiseLevel(RaiseLevel { term: Term(1), level: Level::NEWEST }));
    script.worker("w1", cpus, &[]);
    script
}

impl Script {
    fn queue(&mut self, queue: &str, settings: QueueSettings) {
        let command = PutQueue { name: name(queue), settings, known_at: None };
        self.apply(Command::PutQueue(command));
    }

    fn weigh(&mut self, queue: &str, weight: u32) {
        self.queue(queue, QueueSettings { weight, ..QueueSettings::default() });
    }

    fn pause(&mut self, queue: &str, is_paused: bool) {
        self.apply(Command::PauseQueue(PauseQueue { name: name(queue), is_paused }));
    }

    /// Places what can be placed, as a leader does that remembers what it has seen.
    fn place_by(&mut self, placer: &mut Placer) -> Vec<String> {
        let placed = self.pass(placer, Strategy::Spread, AMPLE);
        let words = words(&placed);
        if !placed.is_empty() {
            let assign = AssignTasks { term: Term(self.term), assignments: placed };
            let verdicts = self.assign(assign);
            assert!(verdicts.iter().all(Result::is_ok), "{verdicts:?}");
        }
        words
    }

    fn running_in(&self, queue: &str) -> u64 {
        self.state.queue_load(&name(queue)).running
    }

    /// Ends the first attempts of these tasks.
    fn end(&mut self, tasks: &[u64]) {
        let worker: WorkerId = "w1".parse().unwrap();
        let epoch = self.state.worker(&worker).unwrap().epoch;
        let attempts = tasks.iter().map(|task| FinishedAttempt {
            attempt: AttemptRef { task: TaskId(*task), attempt: AttemptNumber(1) },
            outcome: AttemptOutcome::Exited { code: 0 },
            report: None,
        });
        let attempts = attempts.collect();
        self.apply(Command::FinishAttempts(FinishAttempts { worker, epoch, attempts }));
    }
}

#[test]
fn queues_share_the_fleet_by_their_weights_whoever_came_first() {
    let mut script = cluster(12);
    script.weigh("a", 1);
    script.weigh("b", 2);
    script.tasks(50, &in_queue("a", 1));
    script.tasks(50, &in_queue("b", 1));
    script.place_by(&mut Placer::default());
    assert_eq!((script.running_in("a"), script.running_in("b")), (4, 8));
}

#[test]
fn a_queue_alone_has_the_whole_fleet_and_gives_way_to_another() {
    let mut script = cluster(4);
    script.weigh("a", 1);
    script.weigh("b", 1);
    let mut placer = Placer::default();
    script.tasks(50, &in_queue("a", 1));
    script.place_by(&mut placer);
    assert_eq!(script.running_in("a"), 4);

    script.tasks(50, &in_queue("b", 1));
    script.end(&[1, 2]);
    script.place_by(&mut placer);
    assert_eq!((script.running_in("a"), script.running_in("b")), (2, 2));
}

#[test]
fn within_a_queue_priorities_count_and_between_queues_they_do_not() {
    let mut script = cluster(2);
    script.weigh("a", 1);
    script.tasks(1, &Class { priority: 10, ..in_queue("a", 1) });
    script.tasks(1, &Class { priority: 90, ..in_queue("a", 1) });
    script.tasks(1, &class(99, 1));
    assert_eq!(script.place(Strategy::Spread), ["t3@w1", "t2@w1"]);
}

#[test]
fn a_paused_queue_starts_nothing_and_goes_on_where_it_was() {
    let mut script = cluster(2);
    script.weigh("a", 1);
    let mut placer = Placer::default();
    script.pause("a", true);
    script.tasks(1, &in_queue("a", 1));
    assert_eq!(script.place_by(&mut placer), [""; 0]);
    let held = PendingReason::Held { queue: name("a"), hold: Hold::Paused };
    assert_eq!(script.pending(1), Some(held.clone()));
    assert_eq!(held.to_string(), "its queue a is paused");

    script.pause("a", false);
    assert_eq!(script.place_by(&mut placer), ["t1@w1"], "although no worker has gained room");
}

#[test]
fn a_queue_runs_no_more_than_it_may_and_goes_on_when_one_ends() {
    let mut script = cluster(8);
    script.queue("a", QueueSettings { max_running: Some(2), ..QueueSettings::default() });
    let mut placer = Placer::default();
    script.tasks(4, &in_queue("a", 1));
    assert_eq!(script.place_by(&mut placer), ["t1@w1", "t2@w1"]);
    assert_eq!(script.place_by(&mut placer), [""; 0]);
    let reason = script.pending(3).unwrap().to_string();
    assert_eq!(reason, "its queue a runs 2 tasks, its max_running");

    // The worker that has gained room takes no more: the next task goes elsewhere.
    script.worker("w2", 8, &[]);
    script.order("w1", SchedulingOrder::Cordon);
    assert_eq!(script.place_by(&mut placer), [""; 0]);
    script.end(&[1]);
    assert_eq!(script.place_by(&mut placer), ["t3@w2"]);
}

#[test]
fn a_queue_starts_no_more_in_a_time_than_it_may() {
    let mut script = cluster(8);
    let rate = Rate { starts: 2, per: Duration::from_secs(10) };
    script.queue("a", QueueSettings { rate: Some(rate), ..QueueSettings::default() });
    let mut placer = Placer::default();
    script.now = 1_000;
    script.tasks(4, &in_queue("a", 1));
    assert_eq!(script.place_by(&mut placer), ["t1@w1", "t2@w1"]);
    assert_eq!(script.place_by(&mut placer), [""; 0]);
    let reason = script.pending(3).unwrap().to_string();
    let expected = "its queue a has started 2 tasks in 10 s, its rate; the next may start at \
                    1970-01-01T00:00:06.000Z";
    assert_eq!(reason, expected);

    script.now = 6_000;
    assert_eq!(script.place_by(&mut placer), ["t3@w1"], "although nothing has changed");
}

#[test]
fn tasks_with_one_concurrency_key_run_one_after_the_other_in_the_order_of_importance() {
    let mut script = cluster(8);
    let mut placer = Placer::default();
    script.tasks(2, &with_key("x"));
    script.tasks(1, &Class { priority: 90, ..with_key("x") });
    script.tasks(1, &with_key("y"));
    script.tasks(1, &class(50, 1));
    let mut placed = script.place_by(&mut placer);
    placed.sort();
    assert_eq!(placed, ["t3@w1", "t4@w1", "t5@w1"]);
    let reason = script.pending(1).unwrap().to_string();
    let expected =
        "its queue default runs 1 tasks with the same concurrency_key, its max_running_per_key";
    assert_eq!(reason, expected);

    script.end(&[3]);
    assert_eq!(script.place_by(&mut placer), ["t1@w1"]);
    script.end(&[1]);
    assert_eq!(script.place_by(&mut placer), ["t2@w1"]);
}

#[test]
fn thousands_of_keys_that_are_held_back_cost_a_pass_nothing() {
    let mut script = cluster(4_000);
    let mut placer = Placer::default();
    for number in 0..2_000 {
        script.tasks(2, &with_key(&format!("k{number}")));
    }
    for _ in 0..3 {
        script.place_by(&mut placer);
    }
    assert_eq!(script.running_in("default"), 2_000);

    script.tasks(1, &class(50, 1));
    let few = Bounds { placements: 1_000, probes: 20 };
    assert_eq!(words(&script.pass(&mut placer, Strategy::Spread, few)), ["t4001@w1"]);
    assert!(placer.is_over());
}

#[test]
fn nothing_is_given_ahead_of_what_a_queue_or_a_key_allows() {
    let mut script = cluster(1);
    script.queue("a", QueueSettings { max_running: Some(5), ..QueueSettings::default() });
    script.tasks(1, &class(50, 1));
    script.commit(Strategy::Spread);
    script.tasks(1, &in_queue("a", 1));
    script.tasks(1, &with_key("x"));
    script.tasks(1, &class(50, 1));
    let epoch = Epoch(1);
    let wish = Wish { worker: "w1".parse().unwrap(), epoch, most: 9, places: vec![cpu(1)] };
    let given = Placer::default().ahead(&script.state, script.moment(), &[wish]);
    assert_eq!(words(&given), ["t4@w1"]);
}

#[test]
fn a_large_task_of_a_queue_with_less_than_its_share_is_not_starved_by_another_queue() {
    let mut script = cluster(4);
    script.weigh("a", 1);
    let mut placer = Placer::default();
    script.tasks(4, &class(50, 1));
    script.place_by(&mut placer);
    script.tasks(1, &in_queue("a", 4));
    script.tasks(8, &class(90, 1));
    script.end(&[1]);
    // It is overtaken once, and then the worker is reserved for it.
    assert_eq!(script.place_by(&mut placer), ["t6@w1"]);
    script.end(&[2, 3]);
    assert_eq!(script.place_by(&mut placer), [""; 0]);
    script.end(&[4, 6]);
    assert_eq!(script.place_by(&mut placer), ["t5@w1"]);
}

#[test]
fn a_task_says_how_many_wait_before_it_in_its_queue() {
    let mut script = cluster(1);
    script.tasks(3, &class(50, 9));
    script.tasks(2, &class(60, 8));
    script.tasks(1, &class(50, 7));
    let position = |task: u64| {
        let task = script.state.task(TaskId(task)).unwrap();
        script.state.position_in_queue(task, 1_000)
    };
    assert_eq!([4, 5, 1, 2, 3, 6].map(position), [0, 1, 2, 3, 4, 5]);
}

/// Counts what runs in a queue as a naive scheduler does: by a look at each task.
fn naive_starts(script: &Script, queue: &QueueName) -> u64 {
    let tasks = script.state.tasks_below(None).filter(|task| task.spec.class.queue == *queue);
    tasks.filter(|task| task.live_attempt().is_some()).count().try_into().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Random settings and loads: the bounds are kept, nothing waits that could start, and the sums that the
    /// state keeps are those of a walk over all tasks.
    #[test]
    fn bounds_are_kept_and_nothing_waits_in_vain(
        steps in proptest::collection::vec((0..6_u8, 0..3_usize, 1..4_u64, any::<bool>()), 1..60),
    ) {
        let mut script = cluster(12);
        let queues = ["default", "a", "b"];
        ["a", "b"].iter().for_each(|queue| script.weigh(queue, 1));
        let mut placer = Placer::default();
        for (kind, queue, amount, flag) in steps {
            let queue = queues[queue];
            match kind {
                0 | 1 => {
                    let key = flag.then(|| format!("k{amount}").parse().unwrap());
                    let class = Class { concurrency_key: key, ..in_queue(queue, amount) };
                    script.tasks(2, &class);
                }
                2 => script.queue(queue, QueueSettings {
                    weight: u32::try_from(amount).unwrap(),
                    max_running: flag.then_some(u32::try_from(amount).unwrap()),
                    max_running_per_key: u32::try_from(amount).unwrap(),
                    ..QueueSettings::default()
                }),
                3 => script.pause(queue, flag),
                4 => placer = if flag { Placer::default() } else { placer },
                _ => {
                    let running = script.state.tasks_below(None).filter(|task| task.live_attempt().is_some());
                    let over = running.map(|task| task.id.0).take(usize::try_from(amount).unwrap());
                    let over = over.collect::<Vec<_>>();
                    script.end(&over);
                }
            }
            while !script.place_by(&mut placer).is_empty() || !placer.is_over() {}

            prop_assert_eq!(script.state.check_invariants(), Ok(()));
            for queue in queues.map(name) {
                prop_assert_eq!(script.state.queue_load(&queue).running, naive_starts(&script, &queue));
            }
            // A task that nothing holds back, that has room and for which no worker is reserved, runs.
            let now = script.state.meta().now;
            let free = script.state.free_on(&"w1".parse().unwrap()).cloned().unwrap();
            if placer.reserved() == 0 {
                for task in script.state.tasks_below(None).filter(|task| task.state == cluster_state::TaskState::Queued) {
                    let class = &task.spec.class;
                    let waits_in_vain = script.state.hold(class, now).is_none()
                        && free.holds(&class.resources)
                        && class.concurrency_key.is_none();
                    prop_assert!(!waits_in_vain, "{} of {} waits in vain", task.id, class.queue);
                }
            }
        }
    }
}
