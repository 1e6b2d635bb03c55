//! Tests of a worker's identity across restarts, crashes and moves.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::slots::SLOT_BYTES;
use super::*;

const CLUSTER: ClusterId = ClusterId(1);
const OTHER: ClusterId = ClusterId(2);

fn open(dir: &Path, worker: &str) -> Result<Identity, IdentityError> {
    let identity = Identity::open(dir, &worker.parse().unwrap(), Incarnation(5))?;
    identity.begin_incarnation()?;
    Ok(identity)
}

#[tokio::test]
async fn the_first_cluster_and_the_highest_term_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let identity = open(dir.path(), "w1").unwrap();
    identity.admit(CLUSTER, Term(7)).await.unwrap();
    identity.remember_masters(vec!["m1:1".to_owned()]).await.unwrap();
    let data = identity.data();
    assert_eq!(identity.start(), StartNumber(1));
    drop(identity);

    let identity = open(dir.path(), "w1").unwrap();

    assert_eq!(identity.cluster_id(), Some(CLUSTER));
    assert_eq!(identity.term_seen(), Term(7));
    assert_eq!(identity.masters(), ["m1:1"]);
    assert_eq!((identity.data(), identity.start()), (data, StartNumber(2)));
    let refusal = identity.admit(CLUSTER, Term(6)).await.unwrap_err();
    assert!(matches!(refusal, LeaderRefusal::OlderTerm { seen: Term(7), .. }), "{refusal}");
    identity.admit(CLUSTER, Term(7)).await.unwrap();
}

#[tokio::test]
async fn another_cluster_is_not_obeyed_and_does_not_raise_the_term() {
    let dir = tempfile::tempdir().unwrap();
    let identity = open(dir.path(), "w1").unwrap();
    identity.admit(CLUSTER, Term(7)).await.unwrap();

    let refusal = identity.admit(OTHER, Term(9)).await.unwrap_err();

    assert!(matches!(refusal, LeaderRefusal::OtherCluster { .. }), "{refusal}");
    assert_eq!(identity.term_seen(), Term(7));
}

#[test]
fn every_directory_has_a_name_of_its_own() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, other) = (open(one.path(), "w1").unwrap(), open(other.path(), "w1").unwrap());
    assert_ne!(one.data(), other.data());
}

#[test]
fn a_directory_serves_one_process_and_one_worker() {
    let dir = tempfile::tempdir().unwrap();
    let identity = open(dir.path(), "w1").unwrap();
    assert!(matches!(open(dir.path(), "w1"), Err(IdentityError::InUse(_))));
    drop(identity);

    let error = open(dir.path(), "w2").unwrap_err();
    assert!(error.to_string().contains("belongs to worker w1, not to w2"), "{error}");
    assert!(open(dir.path(), "w1").is_ok());
}

#[test]
fn a_damaged_file_is_refused_and_the_way_out_is_told() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(FILE), "{").unwrap();
    let error = open(dir.path(), "w1").unwrap_err();
    assert!(matches!(error, IdentityError::Damaged(_)));
    assert!(error.to_string().contains("move it away and start again"), "{error}");
}

#[tokio::test]
async fn what_is_remembered_is_written_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let identity = open(dir.path(), "w1").unwrap();
    let before = fs::metadata(dir.path().join(FILE)).unwrap();
    for term in 1..=5 {
        identity.admit(CLUSTER, Term(term)).await.unwrap();
        identity.ensure_storable().await.unwrap();
    }

    let after = fs::metadata(dir.path().join(FILE)).unwrap();
    assert_eq!((after.ino(), after.len()), (before.ino(), before.len()));
    assert_eq!(before.len(), 2 * SLOT_BYTES as u64);
    assert_eq!(before.blocks() * 512, before.len(), "the room for it is there from the start");
}

#[tokio::test]
async fn a_torn_write_leaves_what_was_remembered_before() {
    let dir = tempfile::tempdir().unwrap();
    let identity = open(dir.path(), "w1").unwrap();
    identity.admit(CLUSTER, Term(7)).await.unwrap();
    let before = fs::read(dir.path().join(FILE)).unwrap();
    identity.admit(CLUSTER, Term(8)).await.unwrap();
    drop(identity);
    let path = dir.path().join(FILE);
    let mut torn = fs::read(&path).unwrap();
    let begin = before.iter().zip(&torn).position(|(old, new)| old != new).unwrap();
    let middle = begin - begin % SLOT_BYTES + 50;
    torn[middle..middle + 512].fill(0);
    fs::write(&path, &torn).unwrap();

    assert_eq!(open(dir.path(), "w1").unwrap().term_seen(), Term(7));
}

#[tokio::test]
async fn masters_that_do_not_fit_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let identity = open(dir.path(), "w1").unwrap();
    let masters = (0..100).map(|n| format!("{}{n}:1", "m".repeat(100))).collect::<Vec<_>>();
    identity.remember_masters(masters.clone()).await.unwrap();
    drop(identity);

    let kept = open(dir.path(), "w1").unwrap().masters();
    assert!(kept.len() > 10 && masters.starts_with(&kept), "{}", kept.len());
}

#[tokio::test]
async fn what_belongs_to_another_cluster_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let identity = open(dir.path(), "w1").unwrap();
    identity.admit(CLUSTER, Term(7)).await.unwrap();
    fs::write(dir.path().join("spool/results"), "results of the first").unwrap();
    drop(identity);
    open(dir.path(), "w1").unwrap();
    assert!(dir.path().join("spool/results").exists(), "it is the same cluster");

    fs::remove_file(dir.path().join(FILE)).unwrap();
    let identity = open(dir.path(), "w1").unwrap();
    assert!(!dir.path().join("spool/results").exists());
    let aside = dir.path().join(format!("spool.of-{CLUSTER}/results"));
    assert_eq!(fs::read_to_string(aside).unwrap(), "results of the first");

    identity.admit(OTHER, Term(1)).await.unwrap();
    fs::write(dir.path().join("spool/results"), "results of the second").unwrap();
    drop(identity);
    assert_eq!(open(dir.path(), "w1").unwrap().cluster_id(), Some(OTHER));
    assert!(dir.path().join("spool/results").exists());
}
