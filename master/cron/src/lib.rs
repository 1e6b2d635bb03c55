//! Cron expressions, and the times that they mean in a time zone.
//!
//! Nothing here reads a clock. All times are milliseconds since the Unix epoch.

mod duration;
mod edition;
mod expression;
mod fault;
mod field;
mod timetable;
mod zone;

pub use self::edition::ZONE_DATA;
pub use self::expression::Expression;
pub use self::fault::Fault;
pub use self::timetable::Timetable;
pub use self::zone::Zone;
