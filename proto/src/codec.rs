//! The codec of gRPC messages, which measures a message before it decodes it.

mod layout;

use std::marker::PhantomData;

use bytes::Buf;
pub use layout::{Field, Layout, Measured};
use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

use crate::limits::DECODED_BYTES_MAX;
use crate::memory::call_admits;
use crate::problem::{ErrorKind, Outcome, Problem};

/// Tonic's protobuf codec, for messages of bounded size in memory.
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
    U: Measured + Default + Send + 'static,
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

/// Refuses messages that would take too much memory, and decodes the others.
#[derive(Debug)]
pub struct BoundedDecoder<U>(ProstDecoder<U>);

impl<U: Measured + Default> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        check::<U>(bytes.chunk())?;
        self.0.decode(bytes)
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}

fn check<U: Measured>(bytes: &[u8]) -> Result<(), Status> {
    let decoded = U::LAYOUT.decoded_bytes(bytes);
    let decoded = decoded.ok_or_else(|| Status::internal("the message is not well-formed"))?;
    if decoded > DECODED_BYTES_MAX {
        let detail =
            format!("the message would take more than {DECODED_BYTES_MAX} bytes of memory");
        return Err(refused::<U>(ErrorKind::LimitReached, &detail));
    }
    if U::IS_REQUEST && !call_admits(decoded) {
        let detail = "the messages that are being read take too much memory";
        return Err(refused::<U>(ErrorKind::Overloaded, detail));
    }
    Ok(())
}

/// Refuses a message that is too large. A request that is not decoded has had no effect; an answer
/// comes after the effect.
fn refused<U: Measured>(kind: ErrorKind, detail: &str) -> Status {
    let outcome = if U::IS_REQUEST { Outcome::Rejected } else { Outcome::Unknown };
    Problem::new(kind, detail).with_outcome(outcome).into()
}

#[cfg(test)]
mod tests;
