//! Tests of the policy's decisions.

use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;

const BOUNDS: LogBounds = LogBounds {
    snapshot_every: LogExtent { entries: 1_000, bytes: 100 * MIB },
    kept: LogExtent { entries: 100, bytes: 10 * MIB },
    held_bytes: 50 * MIB,
};

const ALONE: Turn = Turn { rank: 0, of: 1 };

/// Returns a volume with the applied entries, each of so many bytes.
fn volume(applied: u64, bytes: u64) -> Volume {
    Volume::of((0..=applied).map(|index| (index, bytes)))
}

fn at(applied: u64, snapshot: u64, purged: u64) -> Positions {
    Positions { applied: Some(applied), snapshot: Some(snapshot), purged: Some(purged) }
}

fn due(applied: u64, snapshot: u64, bytes: u64, turn: Turn) -> bool {
    is_snapshot_due(&at(applied, snapshot, 0), &volume(applied, bytes), &BOUNDS, turn)
}

#[test]
fn a_snapshot_is_due_after_so_many_entries() {
    let nothing = Positions { applied: None, snapshot: None, purged: None };
    assert!(!is_snapshot_due(&nothing, &Volume::default(), &BOUNDS, ALONE));
    let first = Positions { applied: Some(998), ..nothing };
    assert!(!is_snapshot_due(&first, &volume(998, 100), &BOUNDS, ALONE));
    let first = Positions { applied: Some(999), ..nothing };
    assert!(is_snapshot_due(&first, &volume(999, 100), &BOUNDS, ALONE));

    assert!(!due(1_500, 1_000, 100, ALONE));
    assert!(!due(1_998, 1_000, 100, ALONE));
    assert!(due(1_999, 1_000, 100, ALONE));
    assert!(!due(1_000, 1_000, 100, ALONE));
    assert!(!due(1_000, 2_000, 100, ALONE), "the one that was installed goes further");
}

#[test]
fn a_snapshot_is_due_after_so_many_bytes() {
    // A hundred mebibytes are a hundred entries, and the next smaller share of a thousand is 62.
    assert!(!due(50, 0, MIB, ALONE));
    assert!(due(62, 0, MIB, ALONE));
    // However large they are.
    assert!(due(15, 0, 15 * MIB, ALONE));
}

#[test]
fn members_make_their_snapshots_in_turn() {
    for bytes in [100, MIB] {
        let mut volume = Volume::default();
        let mut snapshots = vec![vec![]; 3];
        for applied in 0..10_000 {
            volume.append(applied, bytes);
            for (rank, snapshots) in (0..).zip(&mut snapshots) {
                let snapshot = snapshots.last().copied();
                let at = Positions { applied: Some(applied), snapshot, purged: None };
                if is_snapshot_due(&at, &volume, &BOUNDS, Turn { rank, of: 3 }) {
                    snapshots.push(applied);
                }
            }
        }
        for (rank, own) in snapshots.iter().enumerate() {
            assert!(own.len() >= 9, "{own:?}");
            let others = snapshots.iter().enumerate().filter(|(other, _)| *other != rank);
            let mut others = others.flat_map(|(_, other)| other);
            assert!(others.all(|other| !own.contains(other)), "{snapshots:?}");
        }
    }
}

fn cut_of(at: Positions, bytes: u64, followers: &[Follower]) -> Cut {
    cut(&at, &volume(at.applied.unwrap(), bytes), &BOUNDS, followers)
}

fn goes(upto: u64) -> Cut {
    Cut { upto: Some(upto), left_behind: Vec::new() }
}

#[test]
fn what_a_snapshot_covers_goes_but_for_what_is_kept() {
    let none = Positions { applied: Some(500), snapshot: None, purged: None };
    assert_eq!(cut_of(none, 100, &[]), Cut::default());
    assert_eq!(cut_of(at(500, 400, 0), 100, &[]), goes(300));
    assert_eq!(cut_of(at(500, 400, 300), 100, &[]), Cut::default());
    assert_eq!(cut_of(at(500, 50, 0), 100, &[]), Cut::default());
    // Of large entries fewer are kept, and of those that no bound allows none.
    assert_eq!(cut_of(at(500, 400, 0), MIB, &[]), goes(390));
    assert_eq!(cut_of(at(500, 400, 0), 11 * MIB, &[]), goes(400));
}

const fn follower(next: u64) -> Follower {
    Follower { peer: NodeId(2), next: Some(next), is_served: true }
}

#[test]
fn what_a_follower_lacks_is_held_within_the_bound() {
    // Fifty mebibytes from the end are what begins with 951.
    let large = |next| cut_of(at(1_000, 990, 0), MIB, &[follower(next)]);
    assert_eq!(large(991), goes(980));
    assert_eq!(large(981), goes(980));
    assert_eq!(large(960), goes(959));
    assert_eq!(large(951), goes(950));
    assert_eq!(large(940), Cut { upto: Some(980), left_behind: vec![NodeId(2)] });

    let slowest = [follower(980), follower(960), follower(940)];
    let expected = Cut { upto: Some(959), left_behind: vec![NodeId(2)] };
    assert_eq!(cut_of(at(1_000, 990, 0), MIB, &slowest), expected);
}

#[test]
fn nothing_is_held_for_a_follower_that_is_away() {
    let away = Follower { is_served: false, ..follower(960) };
    let expected = Cut { upto: Some(980), left_behind: vec![NodeId(2)] };
    assert_eq!(cut_of(at(1_000, 990, 0), MIB, &[away]), expected);
}

#[test]
fn a_follower_that_lacks_what_has_gone_is_left_behind() {
    let gone = Cut { upto: None, left_behind: vec![NodeId(2)] };
    assert_eq!(cut_of(at(1_000, 990, 980), MIB, &[follower(970)]), gone);
    assert_eq!(cut_of(at(1_000, 990, 980), MIB, &[follower(981)]), Cut::default());
}

#[test]
fn a_follower_of_whom_nothing_is_known_yet_may_need_all_that_there_is() {
    let unknown = Follower { next: None, ..follower(0) };
    assert_eq!(cut_of(at(1_000, 990, 970), MIB, &[unknown]), Cut::default());
    // Not for ever.
    let expected = Cut { upto: Some(980), left_behind: vec![NodeId(2)] };
    assert_eq!(cut_of(at(1_000, 990, 900), MIB, &[unknown]), expected);
    assert_eq!(cut_of(at(1_000, 990, 980), MIB, &[unknown]), Cut::default());
}

#[test]
fn purges_for_one_that_follows_slowly_are_worth_their_cost() {
    // Small entries: all of it is held.
    assert_eq!(cut_of(at(1_000, 990, 0), 100, &[follower(500)]), Cut::default());
    assert_eq!(cut_of(at(1_000, 990, 0), 100, &[follower(895)]), goes(890));
}

proptest! {
    /// Whatever is kept, no follower holds more than the bound, and no follower loses held entries.
    #[test]
    fn the_log_is_bounded(
        bytes in 1..2 * MIB,
        snapshot in 0_u64..1_000,
        next in prop::collection::vec(0_u64..1_000, 0..4),
    ) {
        let followers = next.iter().map(|next| follower(*next)).collect::<Vec<_>>();
        let volume = volume(1_000, bytes);
        let at = Positions { purged: None, ..at(1_000, snapshot, 0) };
        let Cut { upto, left_behind } = cut(&at, &volume, &BOUNDS, &followers);

        prop_assert!(upto <= Some(snapshot));
        let held = next.iter().filter(|next| volume.bytes_from(**next) <= BOUNDS.held_bytes);
        prop_assert!(held.clone().all(|next| upto.is_none_or(|upto| upto < *next)));
        let bound = BOUNDS.kept.bytes.max(BOUNDS.held_bytes) + PURGE_BYTES_MIN + 2 * MIB;
        prop_assert!(volume.bytes_from(upto.map_or(0, |upto| upto + 1)) - volume.bytes_from(snapshot + 1) <= bound);
        prop_assert!(left_behind.is_empty() || held.count() < next.len());
    }
}
