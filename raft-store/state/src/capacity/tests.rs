//! Compares plans with a naive search over every worker, and bounds what a plan costs.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    AddressSource, Constraint, ConstraintOp, Epoch, Health, LogIndex, Scheduling, Specs, Timestamp,
    WorkerReason, WorkerStatus,
};

const FLEET: u64 = 10_000;

fn taken(allocated: &Resources) -> Taken<'_> {
    Taken { allocated: Some(allocated), wanted: None }
}

fn resources(cpu_milli: u64, memory_mib: u64) -> Resources {
    Resources { cpu_milli, memory_mib, ..Resources::default() }
}

fn worker(name: &str, total: Resources, zone: &str) -> Arc<Worker> {
    let labels = BTreeMap::from([("zone".to_owned(), zone.to_owned())]);
    let total = Resources { slots: Resources::SLOTS_UNBOUNDED, ..total };
    Arc::new(Worker {
        id: name.parse().unwrap(),
        address: None,
        labels: BTreeMap::new(),
        status: WorkerStatus::Active,
        scheduling: Scheduling::Open,
        health: Health::default(),
        reason: WorkerReason::Registered,
        epoch: Epoch(1),
        address_source: AddressSource::Operator,
        process: None,
        granted: None,
        granted_until: None,
        rival: None,
        specs: Some(Specs { total, labels, version: String::new() }),
        registered_at: Timestamp(0),
        changed_at: Timestamp(0),
        last_heard: None,
        history: Vec::new(),
        index: LogIndex(1),
    })
}

fn class(resources: Resources) -> Class {
    Class { priority: 50, resources, constraints: Vec::new(), worker: None, ..Class::default() }
}

fn in_zone(zone: &str, resources: Resources) -> Class {
    let op = ConstraintOp::Equals(zone.to_owned());
    Class { constraints: vec![Constraint { label: "zone".to_owned(), op }], ..class(resources) }
}

/// Ten thousand workers whose memory differs, as that of real machines does.
fn fleet(allocated: impl Fn(u64) -> Resources) -> CapacityIndex {
    let mut index = CapacityIndex::default();
    for number in 0..FLEET {
        let zone = if number % 2 == 0 { "a" } else { "b" };
        let worker = worker(&format!("w{number}"), resources(8_000, 16_000 + number % 97), zone);
        index.put(&worker, taken(&allocated(number)));
    }
    index
}

#[test]
fn names_cannot_be_chosen_to_make_a_chain() {
    // In the order of names, the hashes of these rise: by name alone the tree would be a chain.
    let mut names = Vec::<String>::new();
    let mut highest = 0;
    for number in 0..2_000_000_u64 {
        let name = format!("w{number:07}");
        let hash = label_filter::hash(&name, None) >> 48;
        if (1..=64).contains(&hash.saturating_sub(highest)) {
            highest = hash;
            names.push(name);
        }
    }
    assert!(names.len() > 1_000, "{} names make too short a chain", names.len());

    let mut index = CapacityIndex::default();
    for (moment, name) in names.iter().enumerate() {
        let worker = worker(name, resources(8_000, 16_000), "a");
        let registered_at = Timestamp(u64::try_from(moment).unwrap());
        index.put(&Arc::new(Worker { registered_at, ..Worker::clone(&worker) }), Taken::default());
    }
    assert!(index.tree.depth() < 50, "the tree is {} deep", index.tree.depth());
}

#[test]
fn a_full_fleet_is_not_looked_at() {
    let index = fleet(|_| resources(8_000, 1_000));
    let mut plan = index.plan();
    for _ in 0..100 {
        assert_eq!(plan.place(&class(resources(1, 1)), Preference::Emptiest), None);
        assert_eq!(plan.place(&class(resources(1, 1)), Preference::Fullest), None);
    }
    assert_eq!(plan.probes(), 200);
}

#[test]
fn leftovers_that_are_too_small_are_not_looked_at() {
    let index = fleet(|number| resources(7_001 + number % 999, 1_000));
    let mut plan = index.plan();
    assert_eq!(plan.place(&class(resources(1_000, 1)), Preference::Emptiest), None);
    assert_eq!(plan.probes(), 1);
}

#[test]
fn the_one_worker_with_room_is_found_without_a_look_at_all() {
    let index = fleet(|number| resources(if number == 7_777 { 0 } else { 8_000 }, 0));
    let mut plan = index.plan();
    let found = plan.place(&class(resources(1_000, 1)), Preference::Fullest);
    assert_eq!(found.unwrap().as_str(), "w7777");
    assert!(plan.probes() < 200, "{} probes", plan.probes());
}

#[test]
fn placements_cost_what_is_placed() {
    let index = fleet(|number| resources(1_000 * (number % 8), 0));
    for preference in [Preference::Emptiest, Preference::Fullest] {
        let mut plan = index.plan();
        for _ in 0..100 {
            assert!(plan.place(&class(resources(1_000, 16)), preference).is_some());
        }
        assert!(plan.probes() < 100 * 100, "{} probes", plan.probes());
    }
}

#[test]
fn a_label_that_nobody_with_room_has_costs_little() {
    let index = fleet(|number| resources(8_000 * (number % 2), 0));
    let mut plan = index.plan();
    assert!(plan.place(&in_zone("a", resources(1_000, 1)), Preference::Emptiest).is_some());
    assert_eq!(plan.place(&in_zone("b", resources(1_000, 1)), Preference::Emptiest), None);
    assert_eq!(plan.place(&in_zone("c", resources(1_000, 1)), Preference::Emptiest), None);
    assert!(plan.probes() < 200, "{} probes", plan.probes());
}

#[test]
fn tasks_that_ask_for_nothing_are_spread_over_workers_that_are_equally_full() {
    let mut index = CapacityIndex::default();
    for name in ["w1", "w2", "w3"] {
        // Two workers are half full; the third is excluded.
        let allocated = if name == "w3" { 2_000 } else { 4_000 };
        index.put(&worker(name, resources(8_000, 0), "a"), taken(&resources(allocated, 0)));
    }
    let nothing = class(Resources { slots: 1, ..Resources::default() });
    let placed = |preference| {
        let mut plan = index.plan();
        let mut placed = BTreeMap::<_, u32>::new();
        for _ in 0..10 {
            let worker = plan.place_beside(&nothing, preference, &["w3".parse().unwrap()]);
            *placed.entry(worker.unwrap().to_string()).or_default() += 1;
        }
        placed
    };

    let spread = BTreeMap::from([("w1".to_owned(), 5), ("w2".to_owned(), 5)]);
    assert_eq!(placed(Preference::Emptiest), spread);
    assert_eq!(placed(Preference::Fullest), spread);
}

#[test]
fn a_plan_changes_nothing_but_itself() {
    let index = fleet(|_| resources(0, 0));
    let before = index.clone();
    let mut plan = index.plan();
    for _ in 0..10 {
        plan.place(&class(resources(8_000, 1)), Preference::Emptiest).unwrap();
    }
    assert_eq!(index, before);
}

/// An update of one of a few workers.
#[derive(Debug, Clone)]
enum Step {
    Put { worker: u8, cpu: u64, allocated: u64, memory: u64, zone: bool, scheduling: Scheduling },
    Remove { worker: u8 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let scheduling = prop_oneof![4 => Just(Scheduling::Open), 1 => Just(Scheduling::Cordoned)];
    let put = (0..40_u8, 0..9_u64, 0..9_u64, 0..9_u64, any::<bool>(), scheduling).prop_map(
        |(worker, cpu, allocated, memory, zone, scheduling)| Step::Put {
            worker,
            cpu,
            allocated,
            memory,
            zone,
            scheduling,
        },
    );
    let remove = (0..40_u8).prop_map(|worker| Step::Remove { worker });
    prop::collection::vec(prop_oneof![5 => put, 1 => remove], 1..120)
}

/// Workers with what is allocated on them, by name.
type Naive = BTreeMap<WorkerId, (Arc<Worker>, Resources)>;

fn play(steps: Vec<Step>) -> (CapacityIndex, Naive) {
    let (mut index, mut naive) = (CapacityIndex::default(), Naive::new());
    for step in steps {
        match step {
            Step::Put { worker: number, cpu, allocated, memory, zone, scheduling } => {
                let zone = if zone { "a" } else { "b" };
                let mut one = worker(&format!("w{number}"), resources(cpu, memory), zone);
                Arc::make_mut(&mut one).scheduling = scheduling;
                let allocated = resources(allocated.min(cpu), allocated.min(memory));
                index.put(&one, taken(&allocated));
                naive.insert(one.id.clone(), (one, allocated));
            }
            Step::Remove { worker } => {
                let id = format!("w{worker}").parse::<WorkerId>().unwrap();
                index.remove(&id);
                naive.remove(&id);
            }
        }
    }
    (index, naive)
}

fn best(naive: &Naive, class: &Class, preference: Preference) -> Option<WorkerId> {
    let fitting = naive.values().filter_map(|(worker, allocated)| {
        let free = worker.total().saturating_sub(allocated);
        let fits = worker.takes_tasks() && class.allows(worker) && free.holds(&class.resources);
        let share = worker.total().dominant_share(&free);
        let rank = match preference {
            Preference::Emptiest => share,
            Preference::Fullest => u64::MAX - share,
        };
        fits.then(|| (rank, allocated.slots, worker.id.clone()))
    });
    fitting.min().map(|(_, _, id)| id)
}

proptest! {
    #[test]
    fn a_plan_finds_what_a_look_at_every_worker_finds(
        steps in steps(),
        wanted in prop::collection::vec((0..4_u64, 0..4_u64, 0..4_u8), 1..60),
        fullest in any::<bool>(),
    ) {
        let (index, mut naive) = play(steps);
        let preference = if fullest { Preference::Fullest } else { Preference::Emptiest };
        let mut plan = index.plan();
        for (cpu, memory, kind) in wanted {
            let each = Resources { slots: 1, ..resources(cpu, memory) };
            let class = match kind {
                0 => class(each),
                1 => in_zone("a", each),
                2 => in_zone("b", each),
                _ => Class { worker: Some("w7".parse().unwrap()), ..class(each) },
            };
            let found = plan.place(&class, preference);
            prop_assert_eq!(&found, &best(&naive, &class, preference));
            if let Some((_, allocated)) = found.and_then(|id| naive.get_mut(&id)) {
                *allocated = allocated.checked_add(&class.resources).unwrap();
            }
        }
    }

    #[test]
    fn the_way_there_leaves_no_trace(steps in steps()) {
        let (index, naive) = play(steps);
        let mut fresh = CapacityIndex::default();
        for (worker, allocated) in naive.values().rev() {
            fresh.put(worker, taken(allocated));
        }
        prop_assert_eq!(index, fresh);
    }
}
