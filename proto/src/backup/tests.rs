//! A backup is read as it was written, or named for what is wrong with it.

use bytes::Bytes;
use cluster_fuzz::Fuzz;
use proptest::prelude::*;

use super::*;

const FILES: [(&str, &[u8]); 4] =
    [("CURRENT", b"MANIFEST-5\n"), ("empty", b""), ("a.sst", b"aaaaabbbbb"), ("b.sst", b"c")];

fn summary() -> Summary {
    Summary { cluster_name: "prod".to_owned(), index: Some(7), ..Summary::default() }
}

fn manifest() -> Vec<u8> {
    let file = |(name, bytes): (&str, &[u8])| {
        let crc32 = crc32fast::hash(bytes);
        serde_json::json!({ "name": name, "len": bytes.len(), "crc32": crc32 })
    };
    let files = FILES.map(file);
    serde_json::to_vec(&serde_json::json!({ "id": "x", "files": files })).unwrap()
}

/// The parts of the files, of five bytes at most.
fn parts() -> Vec<FilePart> {
    let of_file = |(file, (_, bytes)): (usize, &(&str, &'static [u8]))| {
        let chunks = bytes.chunks(5).enumerate();
        let part = move |(at, bytes): (usize, &'static [u8])| FilePart {
            file: u32::try_from(file).unwrap(),
            offset: u64::try_from(at * 5).unwrap(),
            bytes: Bytes::from_static(bytes),
        };
        chunks.map(part).collect::<Vec<_>>()
    };
    FILES.iter().enumerate().flat_map(of_file).collect()
}

fn encoded(parts: &[FilePart]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    let mut out = encoder.begin(&summary(), &manifest()).unwrap().to_vec();
    for part in parts {
        out.extend(encoder.part(part));
    }
    out.extend(encoder.end());
    out
}

fn read(bytes: &[u8]) -> Result<Vec<Section>, BackupError> {
    let mut reader = Reader::new(bytes);
    let mut sections = Vec::new();
    loop {
        match reader.next_section() {
            Ok(Some(section)) => sections.push(section),
            Ok(None) => return Ok(sections),
            Err(ReadError::Backup(error)) => return Err(error),
            Err(ReadError::Io(error)) => panic!("{error}"),
        }
    }
}

#[test]
fn a_backup_is_read_as_it_was_written_in_pieces_of_any_size() {
    let bytes = encoded(&parts());
    for size in [1, 3, 14, bytes.len()] {
        let mut decoder = Decoder::default();
        let mut sections = Vec::new();
        for piece in bytes.chunks(size) {
            decoder.push(piece);
            while let Some(section) = decoder.next_section().unwrap() {
                sections.push(section);
            }
        }
        decoder.finish().unwrap();

        let (first, rest) = sections.split_first().unwrap();
        assert_eq!(*first, Section::Summary(Box::new(summary())));
        let (last, rest) = rest.split_last().unwrap();
        assert!(matches!(last, Section::End(_)), "{last:?}");
        let (list, rest) = rest.split_first().unwrap();
        assert_eq!(*list, Section::Manifest(manifest().into()));
        assert_eq!(rest, parts().into_iter().map(Section::Part).collect::<Vec<_>>());
    }
}

#[test]
fn a_backup_that_is_cut_anywhere_says_so() {
    let bytes = encoded(&parts());
    assert!(read(&bytes).is_ok());
    for end in 0..bytes.len() {
        let cut = BackupError::Cut { bytes: u64::try_from(end).unwrap() };
        assert_eq!(read(&bytes[..end]).unwrap_err(), cut);
    }
}

#[test]
fn a_bit_that_flips_anywhere_is_noticed() {
    let bytes = encoded(&parts());
    for at in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        let error = read(&altered).unwrap_err();
        let is_named = match error {
            BackupError::NotABackup | BackupError::NewerFormat { .. } => at < 17,
            BackupError::Damaged { at: begin, .. } => begin <= u64::try_from(at).unwrap(),
            BackupError::Cut { .. } | BackupError::Trailing { .. } => false,
        };
        assert!(is_named, "bit at {at}: {error}");
    }
}

#[test]
fn each_kind_of_damage_has_its_words() {
    let bytes = encoded(&parts());
    let refusal = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
    let with = |at: usize, byte: u8| {
        let mut altered = bytes.clone();
        altered[at] = byte;
        refusal(&altered)
    };
    assert_eq!(refusal(b"PK\x03\x04"), "this is not a backup of a cluster");
    assert_eq!(with(15, b'7'), "the backup has format 7, and this program knows formats up to 1");
    assert_eq!(
        with(20, 0xff),
        "the backup is damaged at byte 17: the head of a section does not match its checksum"
    );
    assert_eq!(
        with(32, 0xff),
        "the backup is damaged at byte 17: the summary does not match its checksum"
    );
    let followed = [bytes.as_slice(), b"x"].concat();
    let end = bytes.len();
    assert_eq!(
        refusal(&followed),
        format!("the backup ends at byte {end}, and is followed by something else")
    );
}

#[test]
fn parts_that_are_missing_repeated_or_exchanged_are_noticed() {
    let whole = parts();
    let damage = |parts: &[FilePart]| {
        let error = read(&encoded(parts)).unwrap_err();
        let BackupError::Damaged { damage, .. } = error else { panic!("{error}") };
        damage
    };
    for left_out in 0..whole.len() {
        let mut fewer = whole.clone();
        fewer.remove(left_out);
        assert!(matches!(damage(&fewer), Damage::Order(_)), "without part {left_out}");
        let mut more = whole.clone();
        more.insert(left_out, whole[left_out].clone());
        assert_eq!(damage(&more), Damage::Order(Kind::Chunk), "part {left_out} twice");
    }
    let mut other = whole;
    other[3].bytes = Bytes::from_static(b"bbbba");
    assert_eq!(damage(&other), Damage::File("a.sst".to_owned()));
}

#[test]
fn any_bytes_are_refused_without_much_memory() {
    let bytes =
        prop_oneof![proptest::collection::vec(any::<u8>(), 0..200), Just(encoded(&parts())),];
    Fuzz::of("backups").at_most(64).run(cluster_fuzz::mutated(bytes), |bytes| {
        read(&bytes).ok();
    });
}

/// A file as the first release with backups wrote it. It is read for ever.
#[test]
fn a_backup_of_the_first_format_is_read() {
    let sections = read(include_bytes!("../../corpus/format-1.backup")).unwrap();
    let [Section::Summary(summary), Section::Manifest(_), Section::Part(part), Section::End(_)] =
        sections.as_slice()
    else {
        panic!("{sections:?}")
    };
    assert_eq!((summary.cluster_name.as_str(), summary.generation, summary.level), ("prod", 1, 2));
    assert_eq!((summary.index, summary.term, summary.master), (Some(1_234), Some(7), 3));
    let tasks = summary.tasks.iter().map(|(state, count)| (state.as_str(), *count));
    assert_eq!(tasks.collect::<Vec<_>>(), [("queued", 5)]);
    let member = BackupMember { id: 1, address: "10.0.0.1:50051".to_owned(), voter: true };
    assert_eq!(summary.members, [member]);
    assert_eq!(part.bytes.as_ref(), b"MANIFEST-5\n");
}
