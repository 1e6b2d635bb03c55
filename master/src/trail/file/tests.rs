//! The file of the trail, as restarts, full disks and others leave it.

use tempfile::TempDir;

use super::*;

const CLUSTER: ClusterId = ClusterId(7);

fn layout(dir: &TempDir, bytes_max: u64) -> Layout {
    let (cluster, master) = ("prod".to_owned(), MasterId(1));
    Layout { path: dir.path().join("trail"), bytes_max, keep: 2, cluster, master }
}

fn write(file: &mut TrailFile, indexes: std::ops::Range<u64>) {
    for index in indexes {
        let line = format!("{{\"index\":{index}}}\n");
        file.append(&line, CLUSTER, LogIndex(index)).unwrap();
    }
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_file_is_resumed_after_its_last_whole_line() {
    let dir = tempfile::tempdir().unwrap();
    let layout = layout(&dir, 1 << 20);
    let mut file = TrailFile::open(layout.clone()).unwrap();
    assert_eq!(file.after(), LogIndex(0));
    write(&mut file, 5..7);
    drop(file);
    let path = layout.path.clone();
    let torn = fs::read_to_string(&path).unwrap() + "{\"index\":7,\"acti";
    fs::write(&path, torn).unwrap();

    let mut file = TrailFile::open(layout).unwrap();
    assert_eq!(file.after(), LogIndex(6));
    write(&mut file, 7..8);
    let start = line::start("prod", &CLUSTER.to_string(), MasterId(1), LogIndex(0));
    let expected = [start.trim_end(), "{\"index\":5}", "{\"index\":6}", "{\"index\":7}"];
    assert_eq!(lines(&path), expected);
}

#[test]
fn files_are_put_aside_by_size_and_the_oldest_goes() {
    let dir = tempfile::tempdir().unwrap();
    let layout = layout(&dir, 200);
    let mut file = TrailFile::open(layout.clone()).unwrap();
    write(&mut file, 100..130);
    drop(file);
    let mut names = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect::<Vec<_>>();
    names.sort();
    assert_eq!(names, ["trail", "trail.1", "trail.2"]);
    let [now, before] = [lines(&layout.path), lines(&aside(&layout.path, 1))];
    let last_before = line::place(before.last().unwrap());
    assert_eq!(line::place(&now[0]), last_before, "each begins where the one before ends");
    assert!(fs::metadata(&layout.path).unwrap().len() <= 200);

    // As if the process had been killed between the two.
    fs::write(&layout.path, "").unwrap();
    assert_eq!(Some(TrailFile::open(layout).unwrap().after()), last_before);
}

#[test]
fn what_failed_halfway_is_made_good_by_the_next_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let layout = layout(&dir, 200);
    let mut file = TrailFile::open(layout.clone()).unwrap();
    let mut next = 100;
    while file.length + 14 <= 200 {
        write(&mut file, next..next + 1);
        next += 1;
    }
    let before = lines(&layout.path);

    // Put aside, and then no other could be made.
    fs::rename(&layout.path, aside(&layout.path, 1)).unwrap();
    write(&mut file, next..next + 1);
    assert_eq!(lines(&aside(&layout.path, 1)), before);
    assert!(!aside(&layout.path, 2).exists());

    // Made, and then its first line could not be written.
    fs::write(&layout.path, "").unwrap();
    file.length = 0;
    write(&mut file, next + 1..next + 2);
    let start = line::start("prod", &CLUSTER.to_string(), MasterId(1), LogIndex(next));
    let record = format!("{{\"index\":{}}}", next + 1);
    assert_eq!(lines(&layout.path), [start.trim_end(), &record]);
}

#[test]
fn a_file_that_was_moved_away_is_begun_anew_where_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let layout = layout(&dir, 1 << 20);
    let mut file = TrailFile::open(layout.clone()).unwrap();
    write(&mut file, 1..4);
    fs::rename(&layout.path, dir.path().join("moved")).unwrap();
    file.reopen().unwrap();
    write(&mut file, 4..5);
    let start = line::start("prod", &CLUSTER.to_string(), MasterId(1), LogIndex(3));
    assert_eq!(lines(&layout.path), [start.trim_end(), "{\"index\":4}"]);
}

#[test]
fn a_file_of_an_earlier_cluster_is_put_aside_and_that_of_another_master_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let layout = layout(&dir, 1 << 20);
    let mut file = TrailFile::open(layout.clone()).unwrap();
    write(&mut file, 5_000..5_001);
    let busy = TrailFile::open(layout.clone()).unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::ResourceBusy);
    file.reopen().unwrap();
    drop(file);
    let before = lines(&layout.path);

    let mut file = TrailFile::open(layout.clone()).unwrap();
    let founded_anew = ClusterId(8);
    file.follow(founded_anew).unwrap();
    assert_eq!(file.after(), LogIndex(0));
    file.append("{\"index\":3}\n", founded_anew, LogIndex(3)).unwrap();
    assert_eq!(lines(&aside(&layout.path, 1)), before);
    let start = line::start("prod", &founded_anew.to_string(), MasterId(1), LogIndex(0));
    assert_eq!(lines(&layout.path), [start.trim_end(), "{\"index\":3}"]);
    drop(file);

    let of_another = Layout { master: MasterId(2), ..layout };
    let refused = TrailFile::open(of_another).unwrap_err();
    assert_eq!(refused.to_string(), "it is the trail of master 1 of the cluster prod");
}

#[test]
fn a_file_of_something_else_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let layout = layout(&dir, 1 << 20);
    for text in ["dear diary\n", "dear diary", "{\"trail\":7}\nnoise\n"] {
        fs::write(&layout.path, text).unwrap();
        let refused = TrailFile::open(layout.clone()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidData);
        assert_eq!(fs::read_to_string(&layout.path).unwrap(), text);
    }
}
