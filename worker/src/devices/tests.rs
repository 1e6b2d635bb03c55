//! Tests with a fake management library.

use std::sync::atomic::{AtomicBool, Ordering};

use super::nvml::{Gpu, Gpus, Library};
use super::*;
use crate::ledger::attempt_ref;

const A: AttemptRef = attempt_ref(1, 1);
const B: AttemptRef = attempt_ref(2, 1);

/// A library with two GPUs, one of them divided into two slices. The whole one can be lost.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeLibrary {
    is_lost: Arc<AtomicBool>,
}

fn gpu(uuid: &str) -> Gpu {
    let (uuid, model) = (uuid.to_owned(), "H200".to_owned());
    Gpu { uuid, model, memory_bytes: Some(141 << 30), slices: None }
}

impl Library for FakeLibrary {
    fn count(&self) -> Result<u32, String> {
        Ok(2)
    }

    fn gpu(&self, number: u32) -> Result<Gpu, String> {
        match number {
            0 if self.is_lost.load(Ordering::Relaxed) => {
                Err("GPU has fallen off the bus".to_owned())
            }
            0 => Ok(gpu("GPU-a")),
            _ => Ok(Gpu { slices: Some(vec![gpu("MIG-b"), gpu("MIG-c")]), ..gpu("GPU-d") }),
        }
    }
}

/// Returns the devices of a fake library, and of an operator's list.
pub(crate) fn devices(library: &FakeLibrary, listed: &[&str]) -> Devices {
    let listed = listed.iter().map(|&id| id.to_owned()).collect::<Vec<_>>();
    let mut sources = BTreeMap::<Kind, Box<dyn Source>>::new();
    sources.insert(Kind::Gpu, Box::new(Gpus::of(library.clone())));
    if !listed.is_empty() {
        sources.insert(Kind::named("fpga-x2"), Box::new(source::Listed(listed)));
    }
    Devices::open(sources)
}

pub(crate) fn wanted(gpu: u64) -> Resources {
    Resources { gpu, ..Resources::default() }
}

async fn held(devices: &Devices, attempt: AttemptRef, wanted: &Resources) -> Held {
    devices.acquire(attempt, Some(wanted)).await.unwrap().unwrap()
}

fn variables(held: &Held) -> BTreeMap<String, String> {
    held.variables().into_iter().collect()
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

#[tokio::test(start_paused = true)]
async fn slices_count_as_gpus_and_each_attempt_sees_its_own() {
    let devices = devices(&FakeLibrary::default(), &["x", "y"]);
    assert_eq!(devices.offer().borrow().0[&Kind::Gpu], 3);

    let two = Resources { custom: [("fpga-x2".into(), 1)].into(), ..wanted(2) };
    let a = held(&devices, A, &two).await;
    let b = held(&devices, B, &wanted(1)).await;
    let none = held(&devices, attempt_ref(3, 1), &wanted(0)).await;

    let all = |gpus, fpgas| {
        pairs([
            ("CLOUDAI_GPUS", gpus),
            ("CUDA_VISIBLE_DEVICES", gpus),
            ("CLOUDAI_DEVICES_FPGA_X2", fpgas),
        ])
    };
    assert_eq!(variables(&a), all("GPU-a,MIG-b", "x"));
    assert_eq!(variables(&b), all("MIG-c", ""));
    assert_eq!(variables(&none), all("", ""), "CUDA shows nothing where the list is empty");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_waits_for_devices_of_one_that_ends_and_not_for_ever() {
    let devices = devices(&FakeLibrary::default(), &[]);
    let a = held(&devices, A, &wanted(2)).await;
    let ending = async {
        tokio::time::sleep(PATIENCE / 2).await;
        drop(a);
    };
    let all = wanted(3);
    let (b, ()) = tokio::join!(held(&devices, B, &all), ending);
    assert_eq!(variables(&b)["CLOUDAI_GPUS"], "GPU-a,MIG-b,MIG-c");

    let refused = devices.acquire(A, Some(&wanted(1))).await.unwrap_err();
    assert_eq!(refused, "gpu: 1 wanted, 0 free");
}

#[tokio::test(start_paused = true)]
async fn a_lost_gpu_is_offered_no_more_and_its_attempt_keeps_it() {
    let library = FakeLibrary::default();
    let devices = devices(&library, &[]);
    let mut offer = devices.offer();
    let a = held(&devices, A, &wanted(1)).await;
    assert_eq!(variables(&a)["CLOUDAI_GPUS"], "GPU-a");

    library.is_lost.store(true, Ordering::Relaxed);
    devices.look();
    assert!(!offer.has_changed().unwrap(), "it is in use");
    drop(a);
    assert_eq!(offer.borrow_and_update().0[&Kind::Gpu], 2);
    let refused = devices.acquire(B, Some(&wanted(3))).await.unwrap_err();
    assert_eq!(refused, "gpu: 3 wanted, 2 work; GPU-a: it is gone");

    library.is_lost.store(false, Ordering::Relaxed);
    devices.look();
    assert_eq!(offer.borrow_and_update().0[&Kind::Gpu], 3);
}

/// A driver that hangs when it is asked once more.
#[derive(Debug)]
struct Hanging {
    answers: Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Source for Hanging {
    fn look(&self) -> Result<Vec<Sighting>, SourceError> {
        self.answers.lock().recv().map_err(|_| SourceError("closed".to_owned()))?;
        Ok(vec![Sighting::numbered(0, None)])
    }
}

#[tokio::test(start_paused = true)]
async fn devices_of_a_driver_that_hangs_are_offered_once_it_answers() {
    let (answer, answers) = std::sync::mpsc::channel();
    answer.send(()).unwrap();
    let source: Box<dyn Source> = Box::new(Hanging { answers: Mutex::new(answers) });
    let devices = Devices::open([(Kind::Gpu, source)].into());
    let mut offer = devices.offer();
    assert_eq!(offer.borrow_and_update().0[&Kind::Gpu], 1);

    let noticing = async {
        offer.changed().await.unwrap();
        assert_eq!(offer.borrow_and_update().0[&Kind::Gpu], 0);
        answer.send(()).unwrap();
    };
    tokio::join!(devices.look_aside(), noticing);
    assert_eq!(offer.borrow_and_update().0[&Kind::Gpu], 1);
}

#[test]
fn a_listed_device_that_is_a_path_must_exist() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fpga0").display().to_string();
    let devices = devices(&FakeLibrary::default(), &[&path, "serial-7"]);
    let count = || devices.offer().borrow().0[&Kind::named("fpga-x2")];
    assert_eq!(count(), 1);
    std::fs::write(&path, "").unwrap();
    devices.look();
    assert_eq!(count(), 2);
}

#[test]
fn an_offer_changes_what_a_worker_has_of_its_kinds() {
    let total = Resources { cpu_milli: 1, gpu: 9, ..Resources::default() };
    let counts = [(Kind::Gpu, 2), (Kind::named("fpga"), 1), (Kind::named("none"), 0)];
    let expected = Resources { gpu: 2, custom: [("fpga".into(), 1)].into(), ..total.clone() };
    assert_eq!(Offer(counts.into()).amend(total), expected);
}
