//! Finds the devices that the worker is given: by its configuration, by its environment, or all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Once;

use tracing::warn;

use super::files::DeviceFiles;
use super::nvml::Gpus;
use super::source::Listed;
use super::{CUDA_VISIBLE_DEVICES, Kind, Sighting, Source, SourceError};

/// Returns the sources of the devices that this worker offers: those that are listed by kind, and GPUs,
/// as many as `count` at most. It blocks.
#[must_use]
pub(super) fn find(
    listed: BTreeMap<String, Vec<String>>,
    count: Option<u64>,
) -> BTreeMap<Kind, Box<dyn Source>> {
    let mut sources = BTreeMap::<Kind, Box<dyn Source>>::new();
    let visible = std::env::var(CUDA_VISIBLE_DEVICES).ok();
    let mut choice = Choice { named: None, visible, count };
    for (name, ids) in listed {
        match Kind::named(&name) {
            Kind::Gpu => choice.named = Some(ids),
            kind @ Kind::Custom(_) => {
                sources.insert(kind, Box::new(Listed(ids)));
            }
        }
    }
    if let Some(gpus) = gpus(choice, Path::new("/")) {
        sources.insert(Kind::Gpu, gpus);
    }
    sources
}

/// Returns the source of GPUs; none if there are none. Where the worker shall use none, it is empty: then no
/// attempt sees those of the machine.
fn gpus(choice: Choice, root: &Path) -> Option<Box<dyn Source>> {
    if choice.count == Some(0) {
        return Some(Box::new(Listed(Vec::new())));
    }
    let files = DeviceFiles::below(root);
    let all: Box<dyn Source> = match Gpus::load() {
        Ok(gpus) => Box::new(gpus),
        Err(error) => {
            if has_any(&files) {
                warn!(error, "no NVML: GPUs are known by their numbers only, and not watched");
            }
            Box::new(files)
        }
    };
    if has_any(&*all) || choice.named.is_some() {
        return Some(Box::new(Chosen::new(all, choice)));
    }
    // Nobody else knows of them: the operator does.
    let count = choice.count?;
    Some(Box::new(Listed((0..count).map(|number| number.to_string()).collect())))
}

/// Returns whether there are some. A driver that cannot list them is watched, and may list them later.
fn has_any(source: &dyn Source) -> bool {
    source.look().map_or(true, |found| !found.is_empty())
}

/// Selection of GPUs.
#[derive(Debug, Default)]
struct Choice {
    /// Numbers or UUIDs from the configuration.
    named: Option<Vec<String>>,
    /// The worker's own list of visible GPUs, as CUDA reads it.
    visible: Option<String>,
    /// Maximum number.
    count: Option<u64>,
}

/// GPUs that the worker may use, of all.
#[derive(Debug)]
struct Chosen {
    all: Box<dyn Source>,
    choice: Choice,
    /// Done once GPUs that are named twice were logged.
    told: Once,
}

impl Chosen {
    fn new(all: Box<dyn Source>, choice: Choice) -> Self {
        Self { all, choice, told: Once::new() }
    }
}

impl Source for Chosen {
    fn look(&self) -> Result<Vec<Sighting>, SourceError> {
        let all = self.all.look()?;
        let Choice { named, visible, count } = &self.choice;
        let chosen: Vec<Sighting> = match (named, visible) {
            (Some(named), _) => {
                let missing =
                    |id: &String| Sighting::of(id, Some("there is no such GPU".to_owned()));
                named.iter().map(|id| by_name(&all, id).unwrap_or_else(|| missing(id))).collect()
            }
            // CUDA hides all that follows a name which means nothing.
            (None, Some(visible)) => {
                visible.split(',').map_while(|id| by_name(&all, id.trim())).collect()
            }
            (None, None) => all,
        };
        let count = count.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
        let mut known = BTreeSet::new();
        let (mut chosen, twice) =
            chosen.into_iter().partition::<Vec<_>, _>(|seen| known.insert(seen.device.id.clone()));
        if !twice.is_empty() {
            let ids = twice.iter().map(|seen| &seen.device.id).collect::<Vec<_>>();
            self.told.call_once(|| warn!(?ids, "GPUs are named twice, each counts once"));
        }
        chosen.truncate(count);
        Ok(chosen)
    }
}

/// Returns the GPU of that number, or whose UUID begins so.
fn by_name(all: &[Sighting], name: &str) -> Option<Sighting> {
    all.iter().find(|sighting| sighting.device.is_named(name)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::Device;

    /// Three GPUs, of which the second does not answer.
    #[derive(Debug)]
    struct Three;

    impl Source for Three {
        fn look(&self) -> Result<Vec<Sighting>, SourceError> {
            let gpu = |number: u32| {
                let (id, number) =
                    (format!("GPU-{number}{number}{number}{number}"), number.to_string());
                Sighting { device: Device { id, number, about: String::new() }, fault: None }
            };
            Ok(vec![gpu(0), Sighting::numbered(1, Some("lost".to_owned())), gpu(2)])
        }
    }

    fn chosen(choice: Choice) -> Vec<(String, bool)> {
        let found = Chosen::new(Box::new(Three), choice).look().unwrap();
        found.into_iter().map(|seen| (seen.device.id, seen.fault.is_none())).collect()
    }

    fn gpu(id: &str, works: bool) -> (String, bool) {
        (id.to_owned(), works)
    }

    #[test]
    fn a_worker_uses_the_gpus_that_it_is_given() {
        let all = [gpu("GPU-0000", true), gpu("1", false), gpu("GPU-2222", true)];
        assert_eq!(chosen(Choice::default()), all);
        assert_eq!(chosen(Choice { count: Some(2), ..Choice::default() }), all[..2]);

        let named = Some(["2", "GPU-0000", "7"].map(str::to_owned).to_vec());
        let visible = Some("1".to_owned());
        let expected = [gpu("GPU-2222", true), gpu("GPU-0000", true), gpu("7", false)];
        assert_eq!(chosen(Choice { named, visible, count: None }), expected);
    }

    #[test]
    fn what_cuda_shows_to_the_worker_is_what_it_has() {
        let visible =
            |text: &str| chosen(Choice { visible: Some(text.to_owned()), ..Choice::default() });
        assert_eq!(visible("GPU-2222, 0"), [gpu("GPU-2222", true), gpu("GPU-0000", true)]);
        assert_eq!(visible("0,-1,2"), [gpu("GPU-0000", true)]);
        assert_eq!((visible(""), visible("GPU-")), (vec![], vec![]));
        let once = [gpu("GPU-0000", true), gpu("GPU-2222", true)];
        assert_eq!(visible("0,GPU-0000,2,0,GPU-2222"), once);
    }

    #[test]
    fn without_driver_the_operators_count_stands() {
        let root = tempfile::tempdir().unwrap();
        let found = |count| gpus(Choice { count, ..Choice::default() }, root.path());
        let ids = found(Some(2)).unwrap().look().unwrap();
        assert_eq!(ids, [Sighting::of("0", None), Sighting::of("1", None)]);
        assert!(found(None).is_none());
        assert_eq!(found(Some(0)).unwrap().look().unwrap(), [], "attempts see none");
    }
}
