//! Looks into directories: what is found there is what a start finds, and nothing is changed.

use std::path::Path;

use openraft::storage::RaftLogStorageExt;
use raft_store::{Content, Unusable, inspect};
use tempfile::TempDir;

use crate::fixture::{CLUSTER, History, apply, contents, open};

/// Looks into a directory, and expects it to stay as it is.
fn look(dir: &Path) -> Result<Content, Unusable> {
    let before = contents(dir);
    let inspection = inspect(dir);
    assert!(contents(dir) == before, "the inspection changed the disk");
    inspection.content
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_is_what_was_stored() {
    let home = TempDir::new().unwrap();
    let history = History::new(3);
    let mut store = open(home.path());
    store.log.set_cluster_id(CLUSTER).await.unwrap();
    store.log.blocking_append(history.entries.clone()).await.unwrap();
    let (applied, tail) = history.entries.split_at(history.entries.len() - 2);
    apply(&mut store.machine, applied.to_vec()).await;
    let node = store.log.identity().node;
    assert!(matches!(look(home.path()), Err(Unusable::InUse)));
    drop(store);

    let content = look(home.path()).unwrap();
    assert_eq!((content.identity.node, content.cluster), (node, Some(CLUSTER)));
    assert_eq!(content.last, tail.last().map(|entry| entry.log_id));
    assert!(content.applied <= applied.last().map(|entry| entry.log_id));
    assert_eq!((content.purged, content.is_torn), (None, false));
}

#[test]
fn an_empty_directory_is_told_from_a_damaged_one() {
    let home = TempDir::new().unwrap();
    assert!(matches!(look(home.path()), Err(Unusable::Empty)));
    assert!(matches!(inspect(&home.path().join("nothing")).content, Err(Unusable::Empty)));
    drop(open(home.path()));
    std::fs::write(home.path().join("guard"), [0; 8192]).unwrap();
    let refused = look(home.path()).unwrap_err().to_string();
    assert_eq!(refused, "the guard file is damaged");
}
