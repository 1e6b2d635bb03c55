//! Mutates an encoding as a bad disk, a broken peer or a stranger may.

use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// Mutations of one encoding at most: after many it is noise.
const MUTATIONS_MAX: usize = 5;
/// Longest input, so that repeated duplication does not make tests slow.
const INPUT_BYTES_MAX: usize = 64 << 10;
/// Longest noise.
const NOISE_BYTES_MAX: usize = 256;
/// Copies of one piece at most.
const COPIES_MAX: usize = 64;

/// Makes inputs of valid encodings: most of them mutated, some as they are, and some noise instead.
pub fn mutated(
    valid: impl Strategy<Value = Vec<u8>> + 'static,
) -> impl Strategy<Value = Vec<u8>> + Clone {
    let valid = valid.boxed();
    let mutant = (valid.clone(), valid, mutations())
        .prop_map(|(bytes, other, mutations)| mutations.of(bytes, &other));
    let noise = vec(any::<u8>(), 0..NOISE_BYTES_MAX);
    prop_oneof![9 => mutant, 1 => noise].boxed()
}

/// The same for texts. What is no text any more after a mutation has replacement characters.
pub fn mutated_text(
    valid: impl Strategy<Value = String> + 'static,
) -> impl Strategy<Value = String> + Clone {
    let bytes = mutated(valid.prop_map(String::into_bytes));
    bytes.prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Mutations to be made one after the other.
#[derive(Debug, Clone)]
pub struct Mutations(Vec<Mutation>);

/// Draws some mutations, or none, for an encoding that only the test can make.
pub fn mutations() -> impl Strategy<Value = Mutations> + Clone {
    vec(mutation(), 0..=MUTATIONS_MAX).prop_map(Mutations).boxed()
}

impl Mutations {
    /// Makes them of an encoding; `other` is one of which pieces may get in.
    #[must_use]
    pub fn of(self, mut bytes: Vec<u8>, other: &[u8]) -> Vec<u8> {
        for mutation in self.0 {
            mutation.apply(&mut bytes, other);
            bytes.truncate(INPUT_BYTES_MAX);
        }
        bytes
    }
}

/// A place between bytes.
type Place = Index;

/// A piece of an encoding, from one place to another.
type Piece = (Place, Place);

#[derive(Debug, Clone)]
enum Mutation {
    /// Some bits of a byte are others.
    Flip(Index, u8),
    /// A byte is another.
    Set(Index, u8),
    /// A piece is missing.
    Cut(Piece),
    /// The end is missing.
    Truncate(Place),
    /// A piece is there several times.
    Duplicate(Piece, usize),
    /// Foreign bytes stand in between.
    Insert(Place, Vec<u8>),
    /// The end of another encoding follows the beginning of this one.
    Splice(Place, Place),
    /// A piece of another encoding stands in the place of one of this.
    Graft(Piece, Piece),
    /// Two neighboring pieces have changed places.
    Swap(Place, Place, Place),
    /// A number is another, however it is written: the length of a list, for example.
    Number(Place, Form, u64),
    /// A number in a text is another.
    Digits(Place, &'static str),
}

/// A way to write a number.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// In groups of seven bits, as protobuf and postcard write it.
    Varint,
    Big32,
    Little32,
    Big64,
    Little64,
    Decimal,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let place = any::<Index>;
    let piece = || any::<(Index, Index)>();
    let noise = || vec(any::<u8>(), 0..16);
    let form = prop_oneof![
        4 => Just(Form::Varint),
        1 => Just(Form::Big32),
        1 => Just(Form::Little32),
        1 => Just(Form::Big64),
        1 => Just(Form::Little64),
        2 => Just(Form::Decimal),
    ];
    let digits = ["", "-1", "1e999", "1.5", "0.0001", "00", "NaN", "null", "{}", "[]", "\"\""];
    prop_oneof![
        3 => (place(), 1..=u8::MAX).prop_map(|(at, mask)| Mutation::Flip(at, mask)),
        2 => (place(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        2 => piece().prop_map(Mutation::Cut),
        2 => place().prop_map(Mutation::Truncate),
        2 => (piece(), 1..COPIES_MAX).prop_map(|(piece, copies)| Mutation::Duplicate(piece, copies)),
        1 => (place(), noise()).prop_map(|(at, noise)| Mutation::Insert(at, noise)),
        2 => (place(), place()).prop_map(|(at, from)| Mutation::Splice(at, from)),
        2 => (piece(), piece()).prop_map(|(to, from)| Mutation::Graft(to, from)),
        2 => (place(), place(), place()).prop_map(|(a, b, c)| Mutation::Swap(a, b, c)),
        4 => (place(), form, number()).prop_map(|(at, form, to)| Mutation::Number(at, form, to)),
        1 => (place(), prop::sample::select(digits.to_vec()))
            .prop_map(|(at, digits)| Mutation::Digits(at, digits)),
    ]
}

/// Numbers at the borders of types and of encodings, and any.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => (0..64_u32).prop_map(|shift| 1_u64 << shift),
        4 => (0..=64_u32).prop_map(|bits| u64::MAX.checked_shr(64 - bits).unwrap_or(0)),
        2 => 0..300_u64,
        1 => any::<u64>(),
    ]
}

impl Mutation {
    fn apply(self, bytes: &mut Vec<u8>, other: &[u8]) {
        let len = bytes.len();
        match self {
            Self::Flip(at, mask) => {
                if let Some(byte) = byte_at(bytes, &at) {
                    *byte ^= mask;
                }
            }
            Self::Set(at, to) => {
                if let Some(byte) = byte_at(bytes, &at) {
                    *byte = to;
                }
            }
            Self::Cut(piece) => replace(bytes, range(len, &piece), &[]),
            Self::Truncate(at) => bytes.truncate(place(len, &at)),
            Self::Duplicate(piece, copies) => {
                let range = range(len, &piece);
                let copy = bytes.get(range.clone()).unwrap_or_default().repeat(copies);
                replace(bytes, range.end..range.end, &copy);
            }
            Self::Insert(at, noise) => {
                let at = place(len, &at);
                replace(bytes, at..at, &noise);
            }
            Self::Splice(at, from) => {
                bytes.truncate(place(len, &at));
                bytes.extend(other.iter().skip(place(other.len(), &from)));
            }
            Self::Graft(to, from) => {
                let from = other.get(range(other.len(), &from)).unwrap_or_default();
                replace(bytes, range(len, &to), from);
            }
            Self::Swap(a, b, c) => {
                let mut places = [a, b, c].map(|at| place(len, &at));
                places.sort_unstable();
                let [a, b, c] = places;
                if let Some(both) = bytes.get_mut(a..c) {
                    both.rotate_left(b - a);
                }
            }
            Self::Number(at, form, to) => write_number(bytes, place(len, &at), form, to),
            Self::Digits(at, to) => write_digits(bytes, place(len, &at), to.as_bytes()),
        }
    }
}

fn byte_at<'a>(bytes: &'a mut [u8], at: &Index) -> Option<&'a mut u8> {
    let len = bytes.len();
    bytes.get_mut(if len == 0 { 0 } else { at.index(len) })
}

fn place(len: usize, at: &Place) -> usize {
    at.index(len + 1)
}

fn range(len: usize, (one, other): &Piece) -> Range<usize> {
    let (one, other) = (place(len, one), place(len, other));
    one.min(other)..one.max(other)
}

fn replace(bytes: &mut Vec<u8>, range: Range<usize>, by: &[u8]) {
    bytes.splice(range, by.iter().copied());
}

/// Writes a number in the place of the one that begins there, if it were of that form.
fn write_number(bytes: &mut Vec<u8>, at: usize, form: Form, to: u64) {
    let end = bytes.len();
    let fixed = |len: usize| at..(at + len).min(end);
    let low = u32::try_from(to & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    match form {
        Form::Varint => {
            let rest = bytes.iter().skip(at);
            let len = rest.take_while(|byte| **byte & 0x80 != 0).count() + 1;
            replace(bytes, fixed(len), &varint(to));
        }
        Form::Big32 => replace(bytes, fixed(4), &low.to_be_bytes()),
        Form::Little32 => replace(bytes, fixed(4), &low.to_le_bytes()),
        Form::Big64 => replace(bytes, fixed(8), &to.to_be_bytes()),
        Form::Little64 => replace(bytes, fixed(8), &to.to_le_bytes()),
        Form::Decimal => write_digits(bytes, at, to.to_string().as_bytes()),
    }
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut groups = Vec::new();
    loop {
        let group = u8::try_from(number & 0x7f).unwrap_or(0x7f);
        number >>= 7;
        if number == 0 {
            groups.push(group);
            return groups;
        }
        groups.push(group | 0x80);
    }
}

/// Writes a text in the place of the first digits from there on.
fn write_digits(bytes: &mut Vec<u8>, at: usize, to: &[u8]) {
    let Some(begin) = bytes.iter().skip(at).position(u8::is_ascii_digit) else { return };
    let begin = at + begin;
    let len = bytes.iter().skip(begin).take_while(|byte| byte.is_ascii_digit()).count();
    replace(bytes, begin..begin + len, to);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    use super::*;

    #[test]
    fn numbers_are_replaced_whole() {
        let replaced = |bytes: &[u8], at, form, to| {
            let mut bytes = bytes.to_vec();
            write_number(&mut bytes, at, form, to);
            bytes
        };
        assert_eq!(replaced(&[1, 0x80, 1, 9], 1, Form::Varint, 300), [1, 0xac, 2, 9]);
        assert_eq!(replaced(&[1, 2, 3, 4, 5], 1, Form::Big32, 7), [1, 0, 0, 0, 7]);
        assert_eq!(replaced(&[1, 2], 1, Form::Little64, 7), [1, 7, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(replaced(b"a 123 b", 1, Form::Decimal, 7), b"a 7 b");
    }

    #[test]
    fn inputs_are_valid_and_not_of_many_lengths() {
        let valid = b"abcdefgh".to_vec();
        let inputs = mutated(Just(valid.clone()));
        let mut runner = TestRunner::deterministic();
        let mut drawn = || inputs.new_tree(&mut runner).unwrap().current();
        let drawn = (0..1_000).map(|_| drawn()).collect::<Vec<_>>();

        let intact = drawn.iter().filter(|input| **input == valid).count();
        let lengths = drawn.iter().map(Vec::len).collect::<BTreeSet<_>>();
        assert!((50..500).contains(&intact), "{intact}");
        assert!(lengths.len() > 100 && lengths.contains(&0), "{lengths:?}");
    }
}
