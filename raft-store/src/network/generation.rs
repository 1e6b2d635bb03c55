//! Names the caller's generation of the cluster on every call between masters, so that masters of an
//! earlier one, which know the same cluster, are not heard in a later one, and find out about it.

use std::sync::{Arc, OnceLock};

use cluster_state::Generation;
use tokio::sync::watch;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::{Code, Status};

const GENERATION: &str = "cluster-generation";

/// Generation of this master's state; unknown while that is empty. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownGeneration {
    ours: Arc<OnceLock<Generation>>,
    /// Later generation that has refused a call of this master.
    later: watch::Sender<Option<Generation>>,
}

/// A later generation of the cluster has taken the place of this master's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Superseded {
    pub(crate) ours: Generation,
    pub(crate) theirs: Generation,
}

impl KnownGeneration {
    /// Fixes the generation: a master is of one as long as it runs.
    pub(crate) fn learn(&self, generation: Generation) {
        self.ours.get_or_init(|| generation);
    }

    /// Returns true once the generation is fixed.
    pub(crate) fn is_known(&self) -> bool {
        self.ours.get().is_some()
    }

    /// Returns its name, once it is fixed.
    pub(crate) fn name(&self) -> Option<String> {
        self.ours.get().map(|generation| name(*generation))
    }

    /// Adds it to a call. The first generation has no name: release 0.2.0 knows no other.
    pub(super) fn sign(&self, headers: &mut MetadataMap) {
        let named = self.ours.get().filter(|generation| **generation != Generation::default());
        let value =
            named.and_then(|generation| name(*generation).parse::<AsciiMetadataValue>().ok());
        if let Some(value) = value {
            headers.insert(GENERATION, value);
        }
    }

    /// Returns what is to be said to a caller of another generation.
    pub(super) fn refusal(&self, headers: &MetadataMap) -> Option<String> {
        let ours = name(*self.ours.get()?);
        let theirs = headers.get(GENERATION).map(|value| value.to_str().unwrap_or("unreadable"));
        let theirs = theirs.map_or_else(|| name(Generation::default()), str::to_owned);
        (ours != theirs).then(|| {
            format!(
                "this is generation {ours} of the cluster, and the caller is of generation {theirs}"
            )
        })
    }

    /// Takes in what a master has said that refused a call of this one.
    pub(super) fn on_refused(&self, headers: &MetadataMap) {
        let theirs = headers.get(GENERATION).and_then(|value| read(value.to_str().ok()?));
        if let (Some(ours), Some(theirs)) = (self.ours.get(), theirs)
            && theirs.number > ours.number
        {
            self.later.send_replace(Some(theirs));
        }
    }

    /// Waits until a later generation has refused a call of this master.
    pub(crate) async fn superseded(&self) -> Superseded {
        let mut later = self.later.subscribe();
        loop {
            let seen = *later.borrow_and_update();
            if let (Some(ours), Some(theirs)) = (self.ours.get(), seen) {
                return Superseded { ours: *ours, theirs };
            }
            // Cannot fail: this holds the sender.
            later.changed().await.ok();
        }
    }
}

/// Returns the generation of a master that has refused a caller of another one.
pub(crate) fn of_refusal(refusal: &Status) -> Option<Generation> {
    if refusal.code() != Code::FailedPrecondition {
        return None;
    }
    let named = refusal.metadata().get(GENERATION);
    // The first one has no name.
    named.map_or(Some(Generation::default()), |name| read(name.to_str().ok()?))
}

fn name(Generation { number, id }: Generation) -> String {
    format!("{number}-{id:016x}")
}

/// Reads the name of a generation.
pub(crate) fn read(name: &str) -> Option<Generation> {
    let (number, id) = name.split_once('-')?;
    Some(Generation { number: number.parse().ok()?, id: u64::from_str_radix(id, 16).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(generation: Option<Generation>) -> KnownGeneration {
        let known = KnownGeneration::default();
        generation.into_iter().for_each(|generation| known.learn(generation));
        known
    }

    fn refusal(ours: Option<Generation>, theirs: Option<Generation>) -> Option<String> {
        let mut headers = MetadataMap::new();
        of(theirs).sign(&mut headers);
        of(ours).refusal(&headers)
    }

    #[test]
    fn whoever_is_of_another_generation_is_refused() {
        let first = Some(Generation::default());
        let (next, other) = ([5, 6]).map(|id| Some(Generation { number: 1, id })).into();
        for generation in [first, next, other] {
            assert_eq!(refusal(generation, generation), None);
            assert_eq!(refusal(None, generation), None, "an empty master has yet to learn its own");
        }
        assert_eq!(refusal(first, None), None, "release 0.2.0 names none");
        assert_eq!(
            refusal(next, first).unwrap(),
            "this is generation 1-0000000000000005 of the cluster, and the caller is of generation \
             0-0000000000000000"
        );
        assert!(refusal(next, other).is_some() && refusal(first, next).is_some());
    }

    #[test]
    fn only_a_later_generation_takes_the_place_of_ours() {
        let first = Some(Generation::default());
        let [next, other] = [5, 6].map(|id| Some(Generation { number: 1, id }));
        let heard = |ours, theirs| {
            let mut headers = MetadataMap::new();
            of(theirs).sign(&mut headers);
            let known = of(ours);
            known.on_refused(&headers);
            *known.later.borrow()
        };
        assert_eq!(heard(first, next), next);
        assert_eq!(heard(next, other), None, "they began apart, and neither is the later one");
        assert_eq!(heard(next, first), None);
        assert_eq!(heard(None, next), None, "an empty master belongs to none yet");
    }
}
