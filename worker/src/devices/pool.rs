//! Decides which attempt gets which devices. Pure.

use std::collections::{BTreeMap, BTreeSet};

use cluster_state::{AttemptRef, Resources};

use super::{Device, Kind, Sighting, SourceError};

/// The devices of a worker.
#[derive(Debug, Default)]
pub(super) struct Pool {
    kinds: BTreeMap<Kind, Vec<Slot>>,
    /// Those whose devices could not be listed so far.
    unknown: BTreeSet<Kind>,
}

#[derive(Debug)]
struct Slot {
    id: String,
    /// Reason that nobody gets it.
    fault: Option<String>,
    holder: Option<AttemptRef>,
}

/// Decision about the devices of an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Assigned {
    /// They are the attempt's, of each kind that there is.
    Devices(BTreeMap<Kind, Vec<String>>),
    /// Others have them, for this reason.
    Busy(String),
    /// There are too few that work, for this reason.
    Lacking(String),
}

/// Change of a device.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It cannot be used any more.
    Failed { id: String, fault: String },
    /// It can be used again.
    Recovered { id: String },
}

impl Pool {
    /// Adds the devices of a kind.
    pub(super) fn add(&mut self, kind: Kind, found: Vec<Sighting>) {
        self.kinds.insert(kind, found.into_iter().map(Slot::from).collect());
    }

    /// Adds a kind of which nobody knows yet what there is.
    pub(super) fn add_unknown(&mut self, kind: Kind) {
        self.unknown.insert(kind.clone());
        self.kinds.insert(kind, Vec::new());
    }

    /// Returns the number of devices of each kind that may be used, or still are.
    pub(super) fn offer(&self) -> BTreeMap<Kind, u64> {
        let is_offered = |slot: &&Slot| slot.fault.is_none() || slot.holder.is_some();
        let counts = self.kinds.iter().map(|(kind, slots)| {
            let count = slots.iter().filter(is_offered).count();
            (kind.clone(), u64::try_from(count).unwrap_or(u64::MAX))
        });
        counts.collect()
    }

    /// Assigns to an attempt the first free devices of each kind, all that it wants or none.
    pub(super) fn assign(&mut self, attempt: AttemptRef, wanted: &Resources) -> Assigned {
        let mut shortage = None;
        for (kind, slots) in &self.kinds {
            let count = amount(wanted, kind);
            let works = slots.iter().filter(|slot| slot.fault.is_none()).count();
            if count > works {
                return Assigned::Lacking(lacking(kind, count, slots));
            }
            let free = slots.iter().filter(|slot| slot.is_free()).count();
            if count > free {
                shortage = Some(format!("{kind}: {count} wanted, {free} free"));
            }
        }
        if let Some(reason) = shortage {
            return Assigned::Busy(reason);
        }

        let assigned = self.kinds.iter_mut().map(|(kind, slots)| {
            let free = slots.iter_mut().filter(|slot| slot.is_free());
            let taken = free.take(amount(wanted, kind)).map(|slot| {
                slot.holder = Some(attempt);
                slot.id.clone()
            });
            (kind.clone(), taken.collect())
        });
        Assigned::Devices(assigned.collect())
    }

    /// Frees the devices of an attempt of which nothing is left.
    pub(super) fn release(&mut self, attempt: AttemptRef) {
        for slot in self.kinds.values_mut().flatten() {
            if slot.holder == Some(attempt) {
                slot.holder = None;
            }
        }
    }

    /// Takes in what was found, and returns what has changed. A device that is not found fails; one that
    /// was not there when they were first listed is not added. A device that failed then may have had its
    /// number only, or a part of its UUID, as its name.
    pub(super) fn on_looked(
        &mut self,
        kind: &Kind,
        found: Result<&[Sighting], &SourceError>,
    ) -> Vec<Turn> {
        let mut turns = Vec::new();
        let Some(slots) = self.kinds.get_mut(kind) else { return turns };
        if let Ok(found) = found
            && self.unknown.remove(kind)
        {
            slots.extend(found.iter().cloned().map(Slot::from));
            let working = slots.iter().filter(|slot| slot.fault.is_none());
            return working.map(|slot| Turn::Recovered { id: slot.id.clone() }).collect();
        }
        let mut known = slots.iter().map(|slot| slot.id.clone()).collect::<BTreeSet<_>>();
        for slot in slots {
            let fault = match found {
                Ok(found) => match slot.among(found, &known) {
                    Some(sighting) => {
                        slot.id.clone_from(&sighting.device.id);
                        known.insert(slot.id.clone());
                        sighting.fault.clone()
                    }
                    None => Some("it is gone".to_owned()),
                },
                Err(error) => Some(error.to_string()),
            };
            match (&slot.fault, &fault) {
                (None, Some(fault)) => {
                    turns.push(Turn::Failed { id: slot.id.clone(), fault: fault.clone() });
                }
                (Some(_), None) => turns.push(Turn::Recovered { id: slot.id.clone() }),
                (None, None) | (Some(_), Some(_)) => {}
            }
            slot.fault = fault;
        }
        turns
    }
}

impl From<Sighting> for Slot {
    fn from(seen: Sighting) -> Self {
        let Sighting { device, fault } = seen;
        Self { id: device.id, fault, holder: None }
    }
}

impl Slot {
    /// Finds its device, by its id or else by the name that it had before its id was known.
    fn among<'a>(&self, found: &'a [Sighting], known: &BTreeSet<String>) -> Option<&'a Sighting> {
        let by_id = found.iter().find(|sighting| sighting.device.id == self.id);
        let is_new = |device: &Device| !known.contains(&device.id) && device.is_named(&self.id);
        by_id.or_else(|| {
            let mut free = found.iter().filter(|_| self.holder.is_none());
            free.find(|sighting| is_new(&sighting.device))
        })
    }

    const fn is_free(&self) -> bool {
        self.fault.is_none() && self.holder.is_none()
    }
}

fn amount(wanted: &Resources, kind: &Kind) -> usize {
    let amount = match kind {
        Kind::Gpu => wanted.gpu,
        Kind::Custom(name) => wanted.custom.get(name).copied().unwrap_or(0),
    };
    usize::try_from(amount).unwrap_or(usize::MAX)
}

fn lacking(kind: &Kind, count: usize, slots: &[Slot]) -> String {
    let failing = slots.iter().filter_map(|slot| Some((&slot.id, slot.fault.as_ref()?)));
    let failing = failing.map(|(id, fault)| format!("; {id}: {fault}")).collect::<String>();
    let works = slots.iter().filter(|slot| slot.fault.is_none()).count();
    format!("{kind}: {count} wanted, {works} work{failing}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::attempt_ref;

    const A: AttemptRef = attempt_ref(1, 1);
    const B: AttemptRef = attempt_ref(2, 1);

    fn gpus(count: u64) -> Resources {
        Resources { gpu: count, ..Resources::default() }
    }

    fn pool(ids: &[&str]) -> Pool {
        let mut pool = Pool::default();
        pool.add(Kind::Gpu, seen(ids, &[]));
        pool
    }

    fn seen(ids: &[&str], failing: &[&str]) -> Vec<Sighting> {
        let fault = |id: &&str| failing.contains(id).then(|| "lost".to_owned());
        ids.iter().map(|id| Sighting::of(*id, fault(id))).collect()
    }

    fn ids(assigned: Assigned) -> Vec<String> {
        match assigned {
            Assigned::Devices(mut kinds) => kinds.remove(&Kind::Gpu).unwrap(),
            Assigned::Busy(reason) | Assigned::Lacking(reason) => panic!("{reason}"),
        }
    }

    #[test]
    fn no_device_is_given_to_two_attempts() {
        let mut pool = pool(&["0", "1", "2"]);
        assert_eq!(ids(pool.assign(A, &gpus(2))), ["0", "1"]);
        let busy = Assigned::Busy("gpu: 2 wanted, 1 free".to_owned());
        assert_eq!(pool.assign(B, &gpus(2)), busy, "all or none");
        assert_eq!(ids(pool.assign(B, &gpus(0))), [""; 0]);
        pool.release(A);
        assert_eq!(ids(pool.assign(B, &gpus(3))), ["0", "1", "2"]);
    }

    #[test]
    fn kinds_are_assigned_together() {
        let mut pool = pool(&["0"]);
        pool.add(Kind::named("fpga"), seen(&["/dev/f0", "/dev/f1"], &[]));
        let wanted = Resources { custom: [("fpga".into(), 1)].into(), ..gpus(1) };
        let expected =
            [(Kind::Gpu, vec!["0".to_owned()]), (Kind::named("fpga"), vec!["/dev/f0".to_owned()])];
        assert_eq!(pool.assign(A, &wanted), Assigned::Devices(expected.into()));
        assert!(matches!(pool.assign(B, &wanted), Assigned::Busy(_)));
        let without_gpu = Resources { gpu: 0, ..wanted };
        assert!(matches!(pool.assign(B, &without_gpu), Assigned::Devices(_)));
    }

    #[test]
    fn a_failing_device_is_given_to_nobody_until_it_works_again() {
        let mut pool = pool(&["0", "1"]);
        let turns = pool.on_looked(&Kind::Gpu, Ok(&seen(&["0", "1"], &["0"])));
        assert_eq!(turns, [Turn::Failed { id: "0".to_owned(), fault: "lost".to_owned() }]);
        assert_eq!(ids(pool.assign(A, &gpus(1))), ["1"]);
        let lacking = Assigned::Lacking("gpu: 2 wanted, 1 work; 0: lost".to_owned());
        assert_eq!(pool.assign(B, &gpus(2)), lacking);
        assert_eq!(pool.offer(), [(Kind::Gpu, 1)].into());

        assert_eq!(pool.on_looked(&Kind::Gpu, Ok(&seen(&["0", "1"], &["0"]))), [], "told once");
        let turns = pool.on_looked(&Kind::Gpu, Ok(&seen(&["0", "1", "2"], &[])));
        assert_eq!(turns, [Turn::Recovered { id: "0".to_owned() }]);
        assert_eq!(pool.offer(), [(Kind::Gpu, 2)].into(), "none is added");
    }

    #[test]
    fn a_gpu_that_failed_at_first_has_its_uuid_once_it_works() {
        let gpu = |id: &str, number: &str, fault: Option<&str>| {
            let (id, number, about) = (id.to_owned(), number.to_owned(), String::new());
            Sighting { device: Device { id, number, about }, fault: fault.map(str::to_owned) }
        };
        let mut pool = Pool::default();
        let first = [
            gpu("GPU-aaaa1", "0", None),
            gpu("1", "1", Some("lost")),
            gpu("GPU-cccc", "", Some("there is no such GPU")),
        ];
        pool.add(Kind::Gpu, first.to_vec());
        assert_eq!(pool.offer(), [(Kind::Gpu, 1)].into());
        // With the first one gone, another has its number.
        let turns = pool.on_looked(&Kind::Gpu, Ok(&[gpu("GPU-bbbb2", "0", None)]));
        assert_eq!(turns, [Turn::Failed { id: "GPU-aaaa1".into(), fault: "it is gone".into() }]);

        let all = [("GPU-aaaa1", "0"), ("GPU-bbbb2", "1"), ("GPU-cccc3", "2"), ("GPU-dddd4", "3")];
        let all = all.map(|(id, number)| gpu(id, number, None));
        assert_eq!(pool.on_looked(&Kind::Gpu, Ok(&all)).len(), 3);
        assert_eq!(ids(pool.assign(A, &gpus(3))), ["GPU-aaaa1", "GPU-bbbb2", "GPU-cccc3"]);
        assert_eq!(pool.on_looked(&Kind::Gpu, Ok(&all)), []);
    }

    #[test]
    fn what_could_not_be_listed_is_there_once_it_can() {
        let mut pool = Pool::default();
        pool.add_unknown(Kind::Gpu);
        let error = SourceError("driver mismatch".to_owned());
        assert_eq!(pool.on_looked(&Kind::Gpu, Err(&error)), []);
        assert_eq!(pool.offer(), [(Kind::Gpu, 0)].into());
        let turns = pool.on_looked(&Kind::Gpu, Ok(&seen(&["0", "1"], &["1"])));
        assert_eq!(turns, [Turn::Recovered { id: "0".to_owned() }]);
        pool.on_looked(&Kind::Gpu, Ok(&seen(&["0", "1", "2"], &[])));
        assert_eq!(pool.offer(), [(Kind::Gpu, 2)].into());
    }

    #[test]
    fn a_device_in_use_is_offered_until_it_is_free() {
        let mut pool = pool(&["0", "1"]);
        assert_eq!(ids(pool.assign(A, &gpus(1))), ["0"]);
        pool.on_looked(&Kind::Gpu, Ok(&seen(&["1"], &[])));
        assert_eq!(pool.offer(), [(Kind::Gpu, 2)].into());
        pool.release(A);
        assert_eq!(pool.offer(), [(Kind::Gpu, 1)].into());

        let error = SourceError("driver mismatch".to_owned());
        pool.on_looked(&Kind::Gpu, Err(&error));
        assert_eq!(pool.offer(), [(Kind::Gpu, 0)].into());
    }
}
