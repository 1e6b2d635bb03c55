//! The encoding of gRPC messages, which counts what is in a message before it makes objects of it.

use std::marker::PhantomData;

use bytes::Buf;
use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

use crate::limits::FIELDS_MAX;
use crate::problem::{ErrorKind, Outcome, Problem};

/// Protobuf, as tonic has it, for messages of a bounded number of fields.
#[derive(Debug)]
pub struct BoundedCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for BoundedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for BoundedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder(ProstCodec::<T, U>::raw_decoder(BufferSettings::default()))
    }
}

/// Refuses what has too many fields, and decodes the rest.
#[derive(Debug)]
pub struct BoundedDecoder<U>(ProstDecoder<U>);

impl<U: Message + Default> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        if count_fields(bytes.chunk()) > FIELDS_MAX {
            let detail = format!("the message has more than {FIELDS_MAX} elements");
            let problem = Problem::new(ErrorKind::LimitReached, detail);
            return Err(problem.with_outcome(Outcome::Rejected).into());
        }
        self.0.decode(bytes)
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}

/// The fields of a message that are there, up to one more than the bound. What is no message ends
/// the count: it is refused when it is decoded.
pub(crate) fn count_fields(mut bytes: &[u8]) -> usize {
    let mut count = 0_usize;
    while count <= FIELDS_MAX {
        let Some(rest) = skip_field(bytes) else { return count };
        bytes = rest;
        count = count.saturating_add(1);
    }
    count
}

fn skip_field(bytes: &[u8]) -> Option<&[u8]> {
    let (key, rest) = varint(bytes)?;
    match key & 0b111 {
        0 => varint(rest).map(|(_, rest)| rest),
        1 => rest.get(8..),
        2 => {
            let (length, rest) = varint(rest)?;
            rest.get(usize::try_from(length).ok()?..)
        }
        // The ends of a group, which has fields of its own in between.
        3 | 4 => Some(rest),
        5 => rest.get(4..),
        _ => None,
    }
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (position, byte) in bytes.iter().enumerate().take(10) {
        value |=
            u64::from(byte & 0x7f).checked_shl(u32::try_from(position).ok()?.checked_mul(7)?)?;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(position.checked_add(1)?..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::ATTEMPTS_HELD_MAX;
    use crate::v1;

    #[test]
    fn the_elements_of_lists_are_counted_and_not_what_is_in_them() {
        let task = v1::TaskSpec { command: vec!["x".to_owned(); 7], ..v1::TaskSpec::default() };
        let request =
            v1::SubmitRequest { tasks: vec![task; 300], idempotency_key: Some("key".to_owned()) };
        assert_eq!(count_fields(&request.encode_to_vec()), 301);

        let sample = v1::UsageSample { cpu: 1.5, running_tasks: 300, ..Default::default() };
        assert_eq!(count_fields(&sample.encode_to_vec()), 2);
        assert_eq!(count_fields(&[]), 0);
    }

    #[test]
    fn a_worker_may_name_all_attempts_that_it_may_hold() {
        let attempt = v1::AttemptRef { task_id: "t1".to_owned(), attempt: 1 };
        let registration = v1::RegisterWorkerRequest {
            running: vec![attempt; ATTEMPTS_HELD_MAX],
            ..v1::RegisterWorkerRequest::default()
        };
        assert!(count_fields(&registration.encode_to_vec()) <= FIELDS_MAX);
    }

    #[test]
    fn a_message_of_many_empty_elements_is_over_the_bound() {
        let many = [0x0a, 0x00].repeat(FIELDS_MAX + 1);
        assert!(count_fields(&many) > FIELDS_MAX);
        assert_eq!(count_fields(&[0x0a, 0x00].repeat(FIELDS_MAX)), FIELDS_MAX);
    }
}
