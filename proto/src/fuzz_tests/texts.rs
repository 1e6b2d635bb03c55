//! Fuzz tests of ids, addresses, times and durations: one value has one text, and the text is safe
//! at its destination.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use cluster_fuzz::{Fuzz, mutated_text};
use cluster_state::{ClusterId, DataId, Incarnation, TaskId, TokenId, WorkerId};
use proptest::prelude::*;

use super::{duration, uuid};
use crate::channel;
use crate::convert::{parse_rfc3339, rfc3339};
use crate::v1;

/// Checks that a text which is an id is the text of that id, so that nothing has two names.
fn check<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    if let Ok(id) = text.parse::<T>() {
        assert_eq!(id.to_string(), text);
    }
}

#[test]
fn an_id_has_one_text() {
    let valid = prop_oneof![uuid(), "t[1-9][0-9]{0,9}", "[a-z0-9][a-zA-Z0-9._-]{0,9}"];
    Fuzz::of("ids").run(mutated_text(valid), |text| {
        check::<TaskId>(&text);
        check::<TokenId>(&text);
        check::<WorkerId>(&text);
        // Their digits may be capital letters.
        check::<ClusterId>(&text.to_ascii_lowercase());
        check::<DataId>(&text.to_ascii_lowercase());
        check::<Incarnation>(&text.to_ascii_lowercase());
        if text.parse::<WorkerId>().is_ok() {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            assert!(text.chars().all(is_plain) && !text.starts_with('.') && text.len() <= 253);
        }
    });
}

#[test]
fn an_address_can_be_connected_to_or_is_refused() {
    let valid = "10\\.0\\.0\\.[1-9]:[1-9][0-9]{0,4}|\\[::1\\]:80|[a-z]{1,9}\\.example:1";
    Fuzz::of("addresses").run(mutated_text(valid), |text| {
        if channel::check_address(&text).is_ok() {
            let uri = format!("http://{text}").parse::<http::Uri>().unwrap();
            assert!(uri.port_u16().is_some_and(|port| port > 0), "{text}");
            assert!(uri.host().is_some_and(|host| !host.is_empty()), "{text}");
        }
        let registration = v1::RegisterRequest {
            worker_id: "w1".to_owned(),
            address: Some(text.clone()),
            labels: None,
        };
        if cluster_state::RegisterWorker::try_from(registration).is_ok() {
            assert_eq!(channel::check_address(&text), Ok(()), "{text} gets into the registry");
        }
    });
}

#[test]
fn times_and_durations_are_read_or_refused() {
    let time = any::<u64>().prop_map(|millis| rfc3339(cluster_state::Timestamp(millis)));
    Fuzz::of("times and durations").run(mutated_text(prop_oneof![time, duration()]), |text| {
        if let Ok(time) = parse_rfc3339(&text) {
            assert_eq!(parse_rfc3339(&rfc3339(time)).unwrap(), time);
        }
        let order = v1::SetSchedulingRequest {
            worker_id: "w1".to_owned(),
            order: v1::SchedulingOrder::Drain.into(),
            timeout: Some(text),
        };
        crate::convert::scheduling_order(&order).ok();
    });
}
