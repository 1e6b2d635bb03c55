//! Names the caller's generation of the cluster on every call between masters, so that masters of an
//! earlier one, which know the same cluster, are not heard in a later one.

use std::sync::{Arc, OnceLock};

use cluster_state::Generation;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};

const GENERATION: &str = "cluster-generation";

/// Generation of this master's state; unknown while that is empty. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownGeneration(Arc<OnceLock<Generation>>);

impl KnownGeneration {
    /// Fixes the generation: a master is of one as long as it runs.
    pub(crate) fn learn(&self, generation: Generation) {
        self.0.get_or_init(|| generation);
    }

    /// Adds it to a call. The first generation has no name: release 0.2.0 knows no other.
    pub(super) fn sign(&self, headers: &mut MetadataMap) {
        let named = self.0.get().filter(|generation| **generation != Generation::default());
        let value =
            named.and_then(|generation| name(*generation).parse::<AsciiMetadataValue>().ok());
        if let Some(value) = value {
            headers.insert(GENERATION, value);
        }
    }

    /// Returns what is to be said to a caller of another generation.
    pub(super) fn refusal(&self, headers: &MetadataMap) -> Option<String> {
        let ours = name(*self.0.get()?);
        let theirs = headers.get(GENERATION).map(|value| value.to_str().unwrap_or("unreadable"));
        let theirs = theirs.map_or_else(|| name(Generation::default()), str::to_owned);
        (ours != theirs).then(|| {
            format!(
                "this is generation {ours} of the cluster, and the caller is of generation {theirs}"
            )
        })
    }
}

fn name(Generation { number, id }: Generation) -> String {
    format!("{number}-{id:016x}")
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
}
