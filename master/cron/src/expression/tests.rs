//! Tests of cron expressions: those that are one, and those that are refused.

use jiff::civil::{DateTime, date};

use super::*;

fn fields(text: &str) -> Fields {
    match text.parse::<Expression>() {
        Ok(Expression(Kind::Wall(fields))) => fields,
        other => panic!("{text}: {other:?}"),
    }
}

/// The next times of the wall clock.
fn times(text: &str, from: DateTime, count: usize) -> Vec<String> {
    let fields = fields(text);
    let mut from = from;
    let mut found = Vec::new();
    while found.len() < count {
        let next = fields.first_from(from).unwrap();
        found.push(next.strftime("%a %Y-%m-%d %H:%M").to_string());
        from = next.checked_add(jiff::Span::new().minutes(1)).unwrap();
    }
    found
}

#[test]
fn the_same_set_is_written_in_several_ways() {
    for (one, other) in [
        ("*/15 * * * *", "0-59/15 * * * *"),
        ("*/15 * * * *", "0,15,30,45 * * * *"),
        ("0 0 * JAN-mar *", "0 0 * 1-3 *"),
        ("0 0 * * sun", "0 0 * * 7"),
        ("0 0 * * 0", "0 0 * * 7"),
        ("0 0 * * 5-7", "0 0 * * FRI,SAT,SUN"),
        ("@daily", "0 0 * * *"),
        ("@Weekly", "0 0 * * SUN"),
        ("  5  4\t* * * ", "5 4 * * *"),
    ] {
        let sets = |text| {
            let fields = fields(text);
            (fields.minutes, fields.hours, fields.days, fields.months, fields.weekdays & 0x7f)
        };
        assert_eq!(sets(one), sets(other), "{one} and {other}");
    }
}

#[test]
fn days_of_the_month_and_of_the_week_are_alternatives_unless_one_begins_with_an_asterisk() {
    let from = date(2026, 2, 1).at(0, 0, 0, 0);
    let either = ["Fri 2026-02-06 00:00", "Fri 2026-02-13 00:00", "Fri 2026-02-20 00:00"];
    assert_eq!(times("0 0 13 * FRI", from, 3), either);
    let both = ["Sun 2026-02-01 00:00", "Tue 2026-02-03 00:00", "Thu 2026-02-05 00:00"];
    assert_eq!(times("0 0 */2 * TUE,THU,SUN", from, 3), both);
    let month_only = ["Fri 2026-02-13 00:00", "Fri 2026-03-13 00:00", "Mon 2026-04-13 00:00"];
    assert_eq!(times("0 0 13 * *", from, 3), month_only);
}

#[test]
fn ends_of_months_and_leap_days_are_days_that_exist() {
    let from = date(2026, 1, 1).at(0, 0, 0, 0);
    let long = ["Sat 2026-01-31 23:59", "Tue 2026-03-31 23:59", "Sun 2026-05-31 23:59"];
    assert_eq!(times("59 23 31 * *", from, 3), long);
    let last = ["Sat 2026-01-31 00:00", "Sat 2026-02-28 00:00", "Tue 2026-03-31 00:00"];
    assert_eq!(times("0 0 L * *", from, 3), last);
    let both = ["Thu 2026-01-15 00:00", "Sat 2026-01-31 00:00", "Sun 2026-02-15 00:00"];
    assert_eq!(times("0 0 15,L * *", from, 3), both);
    let leap = ["Tue 2028-02-29 12:00", "Sun 2032-02-29 12:00"];
    assert_eq!(times("0 12 29 2 *", from, 2), leap);
    // 2100 is no leap year.
    let century = date(2096, 3, 1).at(0, 0, 0, 0);
    assert_eq!(times("0 12 29 2 *", century, 1), ["Fri 2104-02-29 12:00"]);
    // Sundays and Saturdays only: the step makes both conditions count.
    let weekend = ["Sun 2032-02-29 12:00", "Sat 2048-02-29 12:00"];
    let rare = times("0 12 29 2 */6", from, 2);
    assert_eq!(rare, weekend);
    assert_eq!(times("0 0 L 12 *", from, 1), ["Thu 2026-12-31 00:00"]);
}

#[test]
fn nonsense_is_refused_with_its_place() {
    for (text, expected) in [
        (
            "",
            "a cron expression has five fields (minute, hour, day of month, month, day of week), this one has 0; seconds are written as in '@every 10s'",
        ),
        (
            "0 0 0 * * *",
            "a cron expression has five fields (minute, hour, day of month, month, day of week), this one has 6; seconds are written as in '@every 10s'",
        ),
        ("60 * * * *", "minute: '60' is out of place: values are 0 to 59"),
        ("* 24 * * *", "hour: '24' is out of place: values are 0 to 23"),
        ("* * 0 * *", "day of month: '0' is out of place: values are 1 to 31"),
        ("* * * 13 *", "month: '13' is out of place: values are 1 to 12 or JAN to DEC"),
        ("* * * * 8", "day of week: '8' is out of place: values are 0 to 7 or SUN to SAT"),
        ("* * * * MOO", "day of week: 'MOO' is out of place: values are 0 to 7 or SUN to SAT"),
        ("1, * * * *", "minute: '' is out of place: values are 0 to 59"),
        ("+5 * * * *", "minute: '+5' is out of place: values are 0 to 59"),
        (
            "* 17-9 * * *",
            "hour: '17-9' runs backwards: write it as two ranges, as in 'FRI-SAT,SUN-MON'",
        ),
        ("5/15 * * * *", "minute: '5/15' has a step without a range: write '5-59/…'"),
        ("*/0 * * * *", "minute: '*/0' needs a step from 1 to 59"),
        ("*/60 * * * *", "minute: '*/60' needs a step from 1 to 59"),
        ("0 0 30 2 *", "it never comes: no month that it names has day 30"),
        ("0 0 31 4,6,9,11 *", "it never comes: no month that it names has day 31"),
        (
            "@reboot",
            "'@reboot' is not known: use @yearly, @monthly, @weekly, @daily, @hourly or '@every DURATION'",
        ),
        ("@every 1.5h", "'1.5h' is not an interval of whole seconds, as in 30s, 5m, 1h30m or 7d"),
    ] {
        assert_eq!(text.parse::<Expression>().unwrap_err().to_string(), expected, "{text}");
    }
    // Also on Mondays, so it comes.
    assert!("0 0 30 2 MON".parse::<Expression>().is_ok());
}
