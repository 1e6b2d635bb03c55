//! The edition of the data of time zones.

/// Edition of the IANA time zone database that the program carries.
pub const ZONE_DATA: &str = "2026f";
