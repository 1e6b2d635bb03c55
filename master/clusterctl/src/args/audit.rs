//! The command about the trail of orders.

use std::time::{Duration, SystemTime};

use clap::Args;

/// Selection of orders.
#[derive(Debug, Clone, Args)]
pub struct AuditArgs {
    /// Only orders of this principal, as in user:ada
    #[arg(long, value_name = "PRINCIPAL", default_value = "", hide_default_value = true)]
    pub principal: String,
    /// Only orders of this kind, as in drain-worker
    #[arg(long, value_name = "ACTION", default_value = "", hide_default_value = true)]
    pub action: String,
    /// Only orders about things whose names begin so, as in worker/ or member/3
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    pub object: String,
    /// Only orders since then: a time such as 2025-11-17T10:30:00Z, or how long ago, as in 2h
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub since: Option<String>,
    /// Only orders before then, written in the same way
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub until: Option<String>,
    /// Only orders with this outcome: begun, done, rejected or unknown, or the reason of one
    #[arg(long, value_name = "OUTCOME", default_value = "", hide_default_value = true)]
    pub outcome: String,
    /// Number of orders to show, the latest ones
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub limit: usize,
    /// Show new ones as they come, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
}

#[expect(clippy::disallowed_methods, reason = "the times of orders are of the wall clock")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Reads a time, or a time span before now.
fn when(text: &str) -> Result<String, String> {
    if proto::convert::parse_rfc3339(text).is_ok() {
        return Ok(text.to_owned());
    }
    let ago: Duration = humantime::parse_duration(text).map_err(|_| {
        "neither a time such as 2025-11-17T10:30:00Z nor a time span such as 2h".to_owned()
    })?;
    let time = now().checked_sub(ago).ok_or("a time before 1970")?;
    if time < SystemTime::UNIX_EPOCH {
        return Err("a time before 1970".to_owned());
    }
    Ok(humantime::format_rfc3339_millis(time).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_point_or_a_span_before_now() {
        assert_eq!(when("2025-11-17T10:30:00Z").as_deref(), Ok("2025-11-17T10:30:00Z"));
        let hour_ago = proto::convert::parse_rfc3339(&when("1h").unwrap()).unwrap();
        let now = now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let ago = now.as_secs() - hour_ago.0 / 1_000;
        assert!((3_599..3_700).contains(&ago), "{ago}");
        assert!(when("yesterday").is_err());
        assert!(when("1000y").is_err());
    }
}
