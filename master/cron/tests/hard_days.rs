//! The days on which clocks are changed, and others on which schedules go wrong.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use cron::Timetable;
use jiff::Timestamp;

/// A day: the zone, the expression, the time after which it is asked, and the next times in UTC.
type Case = (&'static str, &'static str, &'static str, &'static [&'static str]);

fn check(cases: &[Case]) {
    for (zone, expression, after, expected) in cases {
        let timetable = Timetable::read(expression, zone).unwrap();
        let millis = |at: Timestamp| u64::try_from(at.as_millisecond()).unwrap();
        let after = millis(after.parse().unwrap());
        let found = timetable.after(after).take(expected.len()).map(|at| {
            let at = Timestamp::from_millisecond(i64::try_from(at).unwrap()).unwrap();
            at.strftime("%m-%d %H:%M").to_string()
        });
        let found = found.collect::<Vec<_>>();
        assert_eq!(found, *expected, "{expression} in {zone} after {after}");
    }
}

#[test]
fn a_time_that_the_clock_skips_comes_once_right_after_the_gap() {
    check(&[
        // 2026-03-29: 02:00 becomes 03:00 at 01:00Z.
        ("Europe/Berlin", "30 2 * * *", "2026-03-28T12:00:00Z", &["03-29 01:00", "03-30 00:30"]),
        ("Europe/Berlin", "0 2 * * *", "2026-03-28T12:00:00Z", &["03-29 01:00", "03-30 00:00"]),
        ("Europe/Berlin", "0 3 * * *", "2026-03-28T12:00:00Z", &["03-29 01:00", "03-30 01:00"]),
        // Several that are skipped are one.
        ("Europe/Berlin", "0,30 2 * * *", "2026-03-28T12:00:00Z", &["03-29 01:00", "03-30 00:00"]),
        ("Europe/Berlin", "0 2,3 * * *", "2026-03-28T12:00:00Z", &["03-29 01:00", "03-30 00:00"]),
        (
            "Europe/Berlin",
            "30 2,14 * * *",
            "2026-03-28T14:00:00Z",
            &["03-29 01:00", "03-29 12:30", "03-30 00:30"],
        ),
        ("America/New_York", "30 2 8 3 *", "2026-01-01T00:00:00Z", &["03-08 07:00"]),
        // Half an hour: 02:00 becomes 02:30 at 15:30Z.
        (
            "Australia/Lord_Howe",
            "15 2 * * *",
            "2026-10-03T00:00:00Z",
            &["10-03 15:30", "10-04 15:15"],
        ),
    ]);
}

#[test]
fn a_time_that_the_clock_shows_twice_comes_the_first_time() {
    check(&[
        // 2026-10-25: 03:00 becomes 02:00 at 01:00Z.
        ("Europe/Berlin", "30 2 * * *", "2026-10-24T12:00:00Z", &["10-25 00:30", "10-26 01:30"]),
        // Asked afresh between both, and in the middle of the second.
        ("Europe/Berlin", "30 2 * * *", "2026-10-25T00:30:00Z", &["10-26 01:30"]),
        ("Europe/Berlin", "30 2 * * *", "2026-10-25T01:10:00Z", &["10-26 01:30"]),
        ("Europe/Berlin", "0 3 * * *", "2026-10-24T12:00:00Z", &["10-25 02:00", "10-26 02:00"]),
        (
            "Europe/Berlin",
            "30 2,14 * * *",
            "2026-10-24T14:00:00Z",
            &["10-25 00:30", "10-25 13:30", "10-26 01:30"],
        ),
        // 02:00 becomes 01:30 at 15:00Z.
        (
            "Australia/Lord_Howe",
            "45 1 * * *",
            "2026-04-04T00:00:00Z",
            &["04-04 14:45", "04-05 15:15"],
        ),
    ]);
}

#[test]
fn what_goes_by_intervals_goes_on_with_real_time() {
    check(&[
        (
            "Europe/Berlin",
            "*/30 * * * *",
            "2026-03-29T00:00:00Z",
            &["03-29 00:30", "03-29 01:00", "03-29 01:30", "03-29 02:00"],
        ),
        (
            "Europe/Berlin",
            "*/30 * * * *",
            "2026-10-24T23:30:00Z",
            &["10-25 00:00", "10-25 00:30", "10-25 01:00", "10-25 01:30", "10-25 02:00"],
        ),
        (
            "Europe/Berlin",
            "0 */6 * * *",
            "2026-03-28T22:00:00Z",
            &["03-28 23:00", "03-29 04:00", "03-29 10:00", "03-29 16:00", "03-29 22:00"],
        ),
        (
            "Europe/Berlin",
            "0 */6 * * *",
            "2026-10-24T21:00:00Z",
            &["10-24 22:00", "10-25 05:00", "10-25 11:00", "10-25 17:00", "10-25 23:00"],
        ),
        // Both passes of the hour that comes twice, and nothing of the one that is skipped.
        (
            "Europe/Berlin",
            "*/30 2 * * *",
            "2026-10-24T12:00:00Z",
            &["10-25 00:00", "10-25 00:30", "10-25 01:00", "10-25 01:30", "10-26 01:00"],
        ),
        ("Europe/Berlin", "*/30 2 * * *", "2026-03-28T12:00:00Z", &["03-30 00:00", "03-30 00:30"]),
        (
            "Australia/Lord_Howe",
            "45 * * * *",
            "2026-04-04T14:00:00Z",
            &["04-04 14:45", "04-04 15:15", "04-04 16:15"],
        ),
        ("Europe/Berlin", "@every 90m", "2026-03-29T00:00:00Z", &["03-29 01:30", "03-29 03:00"]),
    ]);
}

#[test]
fn a_day_that_begins_after_midnight_still_has_its_first_run() {
    check(&[
        // 2018-11-04: 00:00 becomes 01:00 at 03:00Z.
        ("America/Sao_Paulo", "0 0 * * *", "2018-11-03T12:00:00Z", &["11-04 03:00", "11-05 02:00"]),
        // 2018-02-18: midnight becomes 23:00 of the day before.
        (
            "America/Sao_Paulo",
            "30 23 * * *",
            "2018-02-17T12:00:00Z",
            &["02-18 01:30", "02-19 02:30"],
        ),
        // 2026-04-24, a Friday: 00:00 becomes 01:00 at 22:00Z.
        ("Africa/Cairo", "0 0 * * *", "2026-04-23T12:00:00Z", &["04-23 22:00", "04-24 21:00"]),
        ("Africa/Cairo", "15 0 * * FRI", "2026-04-23T12:00:00Z", &["04-23 22:00", "04-30 21:15"]),
    ]);
}

#[test]
fn a_day_that_a_zone_has_skipped_is_one_gap() {
    check(&[
        // 2011-12-30 was left out: 24:00 of the 29th, at 10:00Z, became 00:00 of the 31st.
        (
            "Pacific/Apia",
            "0 12 * * *",
            "2011-12-29T00:00:00Z",
            &["12-29 22:00", "12-30 10:00", "12-30 22:00"],
        ),
        ("Pacific/Apia", "0 9,17 30 12 *", "2011-12-01T00:00:00Z", &["12-30 10:00"]),
        (
            "Pacific/Apia",
            "0 */12 * * *",
            "2011-12-29T09:00:00Z",
            &["12-29 10:00", "12-29 22:00", "12-30 10:00", "12-30 22:00"],
        ),
    ]);
}

#[test]
fn ends_of_months_are_those_of_the_zone() {
    check(&[
        // In Auckland a month ends while it is still going on in Greenwich.
        ("Pacific/Auckland", "0 6 L * *", "2028-02-01T00:00:00Z", &["02-28 17:00", "03-30 17:00"]),
        ("UTC", "0 6 L * *", "2028-02-01T00:00:00Z", &["02-29 06:00", "03-31 06:00"]),
        ("America/Los_Angeles", "0 20 31 12 *", "2026-01-01T00:00:00Z", &["01-01 04:00"]),
        // The two days are alternatives, and one that is both comes once.
        (
            "Europe/Berlin",
            "0 12 13 * FRI",
            "2026-11-01T00:00:00Z",
            &["11-06 11:00", "11-13 11:00", "11-20 11:00"],
        ),
        ("Europe/Berlin", "0 12 29 2 *", "2026-01-01T00:00:00Z", &["02-29 11:00"]),
    ]);
}

#[test]
fn local_times_are_shown_with_their_weekday_and_offset() {
    let timetable = Timetable::read("30 2 * * *", "Europe/Berlin").unwrap();
    let at = |text: &str| {
        let at: Timestamp = text.parse().unwrap();
        timetable.local_text(u64::try_from(at.as_millisecond()).unwrap()).unwrap()
    };
    assert_eq!(at("2026-03-29T01:00:00Z"), "Sun 2026-03-29 03:00:00 +02:00");
    assert_eq!(at("2026-10-25T00:30:00Z"), "Sun 2026-10-25 02:30:00 +02:00");
}
