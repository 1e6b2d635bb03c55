//! Reads the bodies of requests. A field that is null counts as absent, whether it is known or not.

use serde::de::DeserializeOwned;

use super::{Misread, nulls};

/// Reads a body. Nulls and faults are rare, so only they cost a second pass.
///
/// # Errors
///
/// When it is not JSON, or JSON of another shape.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Misread> {
    let strictly = match serde_json::from_slice(body) {
        Ok(read) => return Ok(read),
        Err(cause) => cause,
    };
    if strictly.is_data()
        && has_null(body)
        && let Ok(without_nulls) = nulls::without_nulls(body)
    {
        let read = serde_json::from_slice(&without_nulls);
        return read.map_err(|cause| Misread::new::<T>(&without_nulls, cause));
    }
    Err(Misread::new::<T>(body, strictly))
}

fn has_null(body: &[u8]) -> bool {
    body.windows(4).any(|text| text == b"null")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;

    #[test]
    fn a_null_in_any_body_is_absent() {
        let body = br#"{"token_id": null, "ttl": null, "description": null, "scope": null}"#;
        let token = read::<v1::CreateTokenRequest>(body).unwrap();
        assert_eq!(token, v1::CreateTokenRequest::default());

        let body = br#"{"name": "a", "paused": null, "task": {"command": ["true"], "env": null,
            "resources": {"custom": null}, "after": null}}"#;
        let task = read::<v1::ScheduleSpec>(body).unwrap().task.unwrap();
        assert_eq!(task.command, ["true"]);

        let body = br#"{"worker_id": "w1", "set": {"zone": null}, "remove": null}"#;
        let misread = read::<v1::LabelWorkerRequest>(body).unwrap_err();
        assert_eq!(misread.pointer, "/set/zone", "a label has a value");
    }
}
