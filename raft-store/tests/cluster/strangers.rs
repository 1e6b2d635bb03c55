//! Whatever a stranger says to the port between masters, with the right headers: the masters go on.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use cluster_state::{ClusterId, Level, MasterId, Reply};
use futures_util::stream::{self, StreamExt};
use proto::v1;
use raft_store::{Leadership, NodeId};
use tonic::Request;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;

use crate::harness::{Cluster, eventually, knows, register};

const CLUSTER: ClusterId = ClusterId(7);

/// Calls of the stranger that are under way at once.
const AT_ONCE: usize = 32;

const METHODS: [&str; 13] = [
    "Append",
    "Vote",
    "PreVote",
    "TransferLeader",
    "InstallSnapshot",
    "ResumeSnapshot",
    "Propose",
    "ReadIndex",
    "NodeStatus",
    "Introduce",
    "Join",
    "Recognize",
    "Remember",
];

/// Bytes as they are.
#[derive(Debug, Default, Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(bytes.copy_to_bytes(bytes.remaining())))
    }
}

/// Knows what a member says of itself, and nothing else.
struct Stranger {
    to: NodeId,
    channel: Channel,
}

impl Stranger {
    fn at(cluster: &Cluster, to: MasterId) -> Self {
        let address = cluster.addresses.get(&to).unwrap();
        let to = cluster.node(to).node_id();
        Self { to, channel: proto::channel::Dialer::plain().connect_lazily(address).unwrap() }
    }

    /// Says something, and takes no interest in the answer.
    async fn say(&self, method: &str, body: Bytes) {
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        let mut request = Request::new(stream::iter([body]));
        let headers = request.metadata_mut();
        headers.insert("cluster-name", "test".parse().unwrap());
        headers.insert("cluster-id", CLUSTER.to_string().parse().unwrap());
        headers.insert("to-node", self.to.0.to_string().parse().unwrap());
        let path = format!("/cloudai.v1.RaftService/{method}");
        let call = async {
            client.ready().await.unwrap();
            let path = path.parse::<PathAndQuery>().unwrap();
            let mut answers = client.streaming(request, path, Raw).await?.into_inner();
            while answers.message().await?.is_some() {}
            Ok::<_, Status>(())
        };
        // Some garbage is a valid question whose answer takes its time.
        tokio::time::timeout(Duration::from_secs(2), call).await.ok();
    }
}

/// Always the same numbers.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, count: usize) -> Bytes {
        std::iter::repeat_with(|| self.next().to_le_bytes()).flatten().take(count).collect()
    }
}

fn encoded(message: &impl prost::Message) -> Bytes {
    message.encode_to_vec().into()
}

fn vote(term: u64, node_id: u64, committed: bool) -> Option<v1::BallotVote> {
    Some(v1::BallotVote { term, node_id, committed })
}

fn at(term: u64, index: u64) -> Option<v1::LogId> {
    Some(v1::LogId { term, index })
}

fn entry(log_id: Option<v1::LogId>, kind: u32, payload: &'static [u8]) -> v1::Entry {
    v1::Entry { log_id, kind, payload: payload.into() }
}

/// Messages that are well-formed and absurd, some of them in the name of the leader.
fn absurd(leader: u64, term: u64, to: u64) -> Vec<(&'static str, Bytes)> {
    const MAX: u64 = u64::MAX;
    let mut said = Vec::new();
    let votes = [
        vote(MAX, leader, true),
        vote(MAX, MAX, true),
        vote(term, leader, true),
        vote(term, leader, false),
        vote(term + 1, to, true),
        vote(term + 1, to, false),
        vote(term + 1, 99, true),
        vote(0, 0, false),
        None,
    ];
    for vote in votes {
        for prev in [None, at(MAX, MAX), at(term, MAX - 1), at(term, 0), at(term + 9, 1)] {
            for entries in [
                Vec::new(),
                vec![entry(at(MAX, MAX), 1, b"")],
                vec![entry(at(term, 0), 9, b""), entry(at(term, 5), 0, b"")],
                vec![entry(at(term, 0), 2, b"{}"), entry(None, 0, b"x")],
            ] {
                for commit in [None, at(MAX, MAX)] {
                    let entries = entries.clone();
                    let request = v1::AppendRequest { vote, prev, entries, commit };
                    said.push(("Append", encoded(&request)));
                }
            }
        }
        for last in [None, at(MAX, MAX), at(term, MAX), at(0, 0)] {
            for transfer in [false, true] {
                let ballot = encoded(&v1::VoteRequest { vote, last, transfer });
                said.extend([("Vote", ballot.clone()), ("PreVote", ballot)]);
            }
        }
        for manifest in [&b""[..], b"{}", b"\xff\xff"] {
            let header = v1::SnapshotHeader { vote, manifest: manifest.into() };
            let part = Some(v1::snapshot_message::Part::Header(header));
            said.push(("InstallSnapshot", encoded(&v1::SnapshotMessage { part })));
        }
    }
    let chunk = v1::SnapshotChunk { file: u32::MAX, offset: MAX, crc32: 0, data: Bytes::new() };
    let part = Some(v1::snapshot_message::Part::Chunk(chunk));
    said.push(("InstallSnapshot", encoded(&v1::SnapshotMessage { part })));
    for vote in [None, vote(term, leader, true), vote(term + 1, to, true)] {
        let request = v1::ResumeSnapshotRequest { manifest: "[]".into(), vote };
        said.push(("ResumeSnapshot", encoded(&request)));
    }

    let too_new = [200, Level::NEWEST.0 + 1, 0, 0];
    // The type of the command, its level, a term, and a level that no master knows.
    let raise_level = [23, Level::FIRST.0, u8::try_from(term).unwrap(), 200];
    for command in [&b""[..], &[0xff; 11], b"\x00", b"\x01", &too_new, &raise_level] {
        let command = Bytes::copy_from_slice(command);
        let forwarded = v1::ForwardedCommand { id: MAX, command };
        let commands = vec![forwarded.clone(), forwarded];
        said.push(("Propose", encoded(&v1::ProposeRequest { commands })));
    }
    said.extend(hand_overs(leader, term, to));
    said
}

/// Hand-overs that no leader has begun.
fn hand_overs(leader: u64, term: u64, to: u64) -> Vec<(&'static str, Bytes)> {
    let mut said = Vec::new();
    for from in [(u64::MAX, u64::MAX), (term, to), (term + 1, leader)] {
        let body = serde_json::json!({
            "from_leader": {
                "leader_id": { "term": from.0, "voted_for": from.1, "node_id": from.1 },
                "committed": true,
            },
            "to_node_id": to,
            "last_log_id": null,
        });
        let body = body.to_string().into();
        said.push(("TransferLeader", encoded(&v1::HandOverRequest { body })));
    }
    said
}

async fn goes_on(cluster: &Cluster, worker: &str) {
    for member in cluster.members.values() {
        assert_eq!(member.node.fatal().reason(), None);
        let name = format!("{worker}-{}", member.node.id());
        let written =
            eventually("a write", || async { member.node.propose(&register(&name)).await.ok() });
        assert!(matches!(written.await.reply, Reply::Registered(_)));
        eventually("a read", || async { member.node.linearize().await.ok() }).await;
        assert!(knows(&member.node, &name));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_between_masters_ends_nobody() {
    let mut cluster = Cluster::start(100_000).await;
    cluster.begin_term(CLUSTER).await;
    let mut noise = Noise(0x5eed_1234_abcd_0001);
    for to in [MasterId(1), MasterId(2), MasterId(3)] {
        let stranger = Stranger::at(&cluster, to);
        let mut said = Vec::new();
        for method in METHODS {
            let sizes = [0, 1, 2, 7, 40, 300, 5_000];
            said.extend(sizes.map(|size| (method, noise.bytes(size))));
        }
        let seen = *cluster.node(to).leadership().borrow();
        let leader = match seen {
            Leadership::Following { node, .. } => node,
            Leadership::Leading { .. } | Leadership::Leaderless { .. } => stranger.to,
        };
        for (method, body) in absurd(leader.0, seen.term().0, stranger.to.0) {
            let cut = usize::try_from(noise.next() % 64).unwrap().min(body.len());
            said.extend([(method, body.slice(..cut)), (method, body)]);
        }
        stream::iter(said)
            .for_each_concurrent(AT_ONCE, |(method, body)| stranger.say(method, body))
            .await;
        goes_on(&cluster, &format!("after-{to}")).await;
    }

    for id in [MasterId(1), MasterId(2), MasterId(3)] {
        cluster.stop(id).await;
        cluster.restart(id).await;
    }
    goes_on(&cluster, "restarted").await;
}
